"""Architectures drawn in text, with sizes by hand."""

from ecoNAS.analysis.drawing import abbreviate, draw, legend
from ecoNAS.architecture import Architecture, HeadSpec, Problem, ReadyArchitecture, StageSpec, StemSpec
from ecoNAS.block_specs import AttentionSpec, MBConvSpec

HYBRID = Architecture(
    stem=StemSpec(width=16, stride=2),
    stages=(
        StageSpec(width=24, depth=2, stride=2, block=MBConvSpec(kernel_size=5, expansion=2.5, squeeze_excite=True)),
        StageSpec(width=32, depth=1, stride=1, block=AttentionSpec(num_heads=4, mlp_ratio=2)),
    ),
    head=HeadSpec(width=64),
)
PROBLEM = Problem(input_channels=3, resolution=29, num_classes=17)


def test_sizes_are_halved_upwards_stage_by_stage():
    # 29 -> stem /2 -> 15 -> stage 1 /2 -> 8 -> stage 2 -> 8.
    lines = draw(HYBRID, PROBLEM).splitlines()
    shapes = [line.strip("│ ").split("   ")[-1].strip() for line in lines if " x " in line and "│" in line]
    assert shapes == ["3 x 29 x 29", "16 x 15 x 15", "24 x 8 x 8", "32 x 8 x 8", "64 x 8 x 8"]


def test_each_stage_names_its_blocks_and_their_choices():
    drawing = draw(HYBRID, PROBLEM)
    assert "stage 1   2 x mbconv, stride 2" in drawing
    assert "kernel size 5, expansion 2.5, squeeze excite" in drawing
    assert "num heads 4, mlp ratio 2" in drawing
    assert "17 scores" in drawing


def test_all_lines_are_equally_long_and_fit_into_80_columns():
    lengths = {len(line) for line in draw(HYBRID, PROBLEM).splitlines()}
    assert len(lengths) == 1
    assert lengths.pop() <= 80


def test_a_choice_that_is_off_is_left_out():
    plain = MBConvSpec(kernel_size=3, expansion=1, squeeze_excite=False)
    stages = (StageSpec(width=8, depth=1, stride=1, block=plain),)
    assert "squeeze" not in draw(Architecture(stem=StemSpec(width=8), stages=stages), PROBLEM)


def test_the_abbreviation_fits_a_narrow_table_and_has_a_legend():
    assert abbreviate(HYBRID) == "16/2 mb24x2/2 at32x1 h64"
    assert legend([HYBRID]).endswith("at attention, mb mbconv")


def test_a_ready_model_is_one_box_under_its_name():
    ready = ReadyArchitecture(timm="mobilenetv4_conv_small_050")
    lines = draw(ready, PROBLEM).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].endswith("3 x 29 x 29 │")
    assert lines[3].startswith("│ timm      mobilenetv4_conv_small_050")
    assert lines[3].endswith("17 scores │")
    assert abbreviate(ready) == "mobilenetv4_conv_small_050"
    assert legend([ready]) == "ready models, by their names in timm"
    assert legend([HYBRID, ready]).endswith("at attention, mb mbconv")
