import pytest

from ecoNAS.architecture import Problem
from ecoNAS.errors import ArchitectureError
from ecoNAS.models.baseline import build_baseline, check_reads

DIGITS = Problem(input_channels=1, resolution=32, num_classes=7)


def test_a_baseline_fits_channels_and_classes() -> None:
    network = build_baseline("mobilenetv3_small_050", DIGITS)

    assert network.conv_stem.in_channels == 1  # type: ignore[union-attr]
    assert network.classifier.out_features == 7  # type: ignore[union-attr]


def test_a_model_of_fixed_size_is_made_for_the_size_of_the_images() -> None:
    network = build_baseline("vit_tiny_patch16_224", DIGITS)

    assert network.patch_embed.num_patches == 4  # type: ignore[union-attr]


def test_a_misspelt_name_is_answered_with_the_nearest_ones() -> None:
    with pytest.raises(ArchitectureError, match=r"timm model 'mobilenet3_small_050'.*did you mean 'mobilenetv3_small"):
        build_baseline("mobilenet3_small_050", DIGITS)


def test_a_name_of_nothing_is_answered_with_small_models() -> None:
    with pytest.raises(ArchitectureError, match="known: mobilenetv3_small_050"):
        build_baseline("hf-hub:some/model", DIGITS)


def test_an_unknown_tag_is_named() -> None:
    with pytest.raises(ArchitectureError, match=r"resnet18\.nosuch.*leave out what follows the dot"):
        build_baseline("resnet18.nosuch", DIGITS)


def test_a_model_of_one_size_is_refused_where_others_are_shown_with_the_remedy_that_is_given() -> None:
    check_reads("test_efficientnet", DIGITS, [DIGITS, DIGITS.at(16)], "leave it out")

    with pytest.raises(
        ArchitectureError, match=r"'test_vit' reads images of 32 pixels only, and not of 16; leave it out"
    ):
        check_reads("test_vit", DIGITS, [DIGITS, DIGITS.at(16)], "leave it out")
