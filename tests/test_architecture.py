"""Architectures as data: JSON there and back, a digest that is their identity, and rules that are kept."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ecoNAS.architecture import (
    Architecture,
    Candidate,
    Deployment,
    HeadSpec,
    Problem,
    ReadyArchitecture,
    StageSpec,
    StemSpec,
    derive_seed,
    load_architecture,
    parse_architecture,
)
from ecoNAS.block_kinds import BLOCK_SPECS, parse_block
from ecoNAS.block_specs import (
    AttentionSpec,
    BlockSpec,
    ConvNeXtSpec,
    FusedMBConvSpec,
    LinearAttentionSpec,
    MBConvSpec,
    MixerSpec,
    MobileAttentionSpec,
    MobileOneSpec,
    RelativeAttentionSpec,
    RepMixerSpec,
    UIBSpec,
)
from ecoNAS.errors import ArchitectureError
from ecoNAS.frozen import canonical_digest

KERNELS = st.sampled_from([1, 3, 5, 7])
OPTIONAL_KERNELS = st.sampled_from([0, 3, 5])
RATIOS = st.floats(0.5, 16)
HEADS = st.sampled_from([1, 2, 4])
BLOCKS: dict[str, st.SearchStrategy[BlockSpec]] = {
    "attention": st.builds(AttentionSpec, num_heads=HEADS, mlp_ratio=RATIOS),
    "convnext": st.builds(ConvNeXtSpec, kernel_size=KERNELS, expansion=RATIOS),
    "fused_mbconv": st.builds(FusedMBConvSpec, kernel_size=KERNELS, expansion=RATIOS),
    "linear_attention": st.builds(LinearAttentionSpec, head_width=st.sampled_from([1, 4]), expansion=RATIOS),
    "mbconv": st.builds(MBConvSpec, kernel_size=KERNELS, expansion=RATIOS, squeeze_excite=st.booleans()),
    "mixer": st.builds(MixerSpec, token_ratio=RATIOS, mlp_ratio=RATIOS),
    "mobile_attention": st.builds(
        MobileAttentionSpec, num_heads=HEADS, key_width=HEADS, kv_stride=st.sampled_from([1, 2]), expansion=RATIOS
    ),
    "mobileone": st.builds(MobileOneSpec, kernel_size=KERNELS, num_branches=st.integers(1, 8)),
    "relative_attention": st.builds(RelativeAttentionSpec, num_heads=HEADS, mlp_ratio=RATIOS),
    "repmixer": st.builds(RepMixerSpec, kernel_size=KERNELS, expansion=RATIOS),
    "uib": st.builds(UIBSpec, start_kernel_size=OPTIONAL_KERNELS, mid_kernel_size=OPTIONAL_KERNELS, expansion=RATIOS),
}
STAGES = st.builds(
    StageSpec,
    width=st.integers(1, 64).map(lambda n: 4 * n),
    depth=st.integers(1, 4),
    stride=st.sampled_from([1, 2]),
    block=st.one_of(*BLOCKS.values()),
)
ARCHITECTURES = st.builds(
    Architecture,
    stem=st.builds(StemSpec, width=st.integers(1, 64), kernel_size=KERNELS, stride=st.sampled_from([1, 2])),
    stages=st.lists(STAGES, min_size=1, max_size=5).map(tuple),
    head=st.builds(HeadSpec, width=st.integers(0, 256)),
)


def one_stage(width: int, block: dict[str, Any]) -> str:
    stage = {"width": width, "depth": 1, "stride": 1, "block": block}
    return json.dumps({"stem": {"width": 8}, "stages": [stage]})


def test_every_block_kind_is_tried_here() -> None:
    assert BLOCKS.keys() == BLOCK_SPECS.keys()


@given(ARCHITECTURES)
def test_an_architecture_comes_back_from_json_as_it_was(architecture: Architecture) -> None:
    back = Architecture.from_json(architecture.to_json())

    assert back == architecture
    assert back.digest == architecture.digest
    assert hash(back) == hash(architecture)
    assert [type(stage.block) for stage in back.stages] == [type(stage.block) for stage in architecture.stages]


@given(ARCHITECTURES, ARCHITECTURES)
def test_digests_are_equal_only_for_equal_architectures(a: Architecture, b: Architecture) -> None:
    assert (a.digest == b.digest) == (a == b)


def test_a_digest_never_changes(example_architecture: Architecture) -> None:
    # Pinned: run folders of earlier versions find their files under it. A change needs a new ARCHITECTURE_VERSION.
    assert example_architecture.digest == "f347297c15d860eb4cb192c657f9e2c3148692ee60dfc2f434bf69c493ca4f13"
    assert (
        Candidate(architecture=example_architecture).digest
        == "1d5e84b877e421d0063e2e02c9eff90748484ba72249abbec3818339c3e39edc"
    )


def test_a_digest_is_the_sha_256_of_canonical_json() -> None:
    # printf '%s' '{"a":[1,2.5],"b":"\u00e9"}' | sha256sum, with the escape as six characters
    assert (
        canonical_digest({"b": "é", "a": [1, 2.5]})
        == "60d4fe7d84d09285a774fa6c850ed0e739e0153890529471751ae4df4e1df886"
    )


def test_the_way_a_number_is_written_does_not_change_the_digest(example_architecture: Architecture) -> None:
    written = example_architecture.to_json().replace("2.0", "2")

    assert Architecture.from_json(written).digest == example_architecture.digest


def test_a_changed_copy_has_a_digest_of_its_own(example_architecture: Architecture) -> None:
    assert example_architecture.digest  # cached now; the copy must not take it along

    changed = example_architecture.model_copy(update={"head": HeadSpec(width=64)})

    assert changed.digest == Architecture.from_json(changed.to_json()).digest
    assert changed.digest != example_architecture.digest


def test_a_digest_survives_pickling(example_architecture: Architecture) -> None:
    candidate = Candidate(architecture=example_architecture)

    assert pickle.loads(pickle.dumps(candidate)).digest == candidate.digest


def test_deployment_is_part_of_the_candidate_and_not_of_the_architecture(example_architecture: Architecture) -> None:
    one = Candidate(architecture=example_architecture, deployment=Deployment(batch=1))
    many = Candidate(architecture=example_architecture, deployment=Deployment(batch=64))

    assert one.architecture.digest == many.architecture.digest
    assert one.digest != many.digest


def test_an_architecture_cannot_be_changed(example_architecture: Architecture) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        example_architecture.stem.width = 3


def test_an_architecture_cannot_hold_heads_that_do_not_divide() -> None:
    text = one_stage(40, {"kind": "attention", "num_heads": 3, "mlp_ratio": 2})

    with pytest.raises(ArchitectureError) as caught:
        Architecture.from_json(text)

    assert str(caught.value) == (
        "stage 1: width 40 is not divisible by num_heads 3; choose heads from 1, 2, 4, 5, 8, 10"
    )


@given(st.integers(1, 256), st.integers(1, 32))
def test_check_passes_exactly_the_heads_that_divide(width: int, num_heads: int) -> None:
    block = AttentionSpec(num_heads=num_heads, mlp_ratio=2)
    stage = StageSpec(width=width, depth=1, stride=1, block=block)
    architecture = Architecture(stem=StemSpec(width=8), stages=(stage,))

    if width % num_heads == 0:
        architecture.check()
    else:
        with pytest.raises(ArchitectureError, match=r"^stage 1: "):
            architecture.check()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not an architecture: not JSON: EOF while parsing"),
        ("[]", "not an architecture: must be"),
        ("{}", "not an architecture: stem: this key is required and missing"),
        (one_stage(8, {"kind": "mbcnov"}), "unknown block kind 'mbcnov'; known: attention, convnext"),
        (one_stage(8, {"kind": "mbcnov"}), "(did you mean 'mbconv'?)"),
        (
            one_stage(8, {"kernel_size": 3}),
            "stages.0.block: a block is a mapping with a 'kind', got {'kernel_size': 3}",
        ),
        (
            one_stage(8, {"kind": "convnext", "kernel": 3, "expansion": 2}),
            "stages.0.block: convnext: kernel: unknown key 'kernel'; known: expansion, kernel_size, kind",
        ),
        (
            one_stage(8, {"kind": "convnext", "kernel_size": 4, "expansion": 2}),
            "convnext: kernel_size: kernel_size 4 is even; choose an odd one, such as 5",
        ),
        (
            one_stage(8, {"kind": "attention", "num_heads": "all", "mlp_ratio": 2}),
            "attention: num_heads: must be a whole number, got 'all'",
        ),
        (
            one_stage(0, {"kind": "convnext", "kernel_size": 3, "expansion": 2}),
            "stages.0.width: must be at least 1, got 0",
        ),
        ('{"version": 2, "stem": {"width": 8}, "stages": []}', "version: must be 1, got 2"),
    ],
)
def test_what_is_no_architecture_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError) as caught:
        Architecture.from_json(text)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Input should" not in str(caught.value)


def test_a_file_that_is_no_architecture_is_named(tmp_path: Path, example_architecture: Architecture) -> None:
    good, bad, binary = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "binary.json"
    good.write_text(example_architecture.to_json())
    bad.write_text("{}")
    binary.write_bytes(b"\xff\xfe")

    assert load_architecture(good) == example_architecture
    for path, message in [(bad, "not an architecture"), (binary, "cannot be read"), (tmp_path / "no.json", "no such")]:
        with pytest.raises(ArchitectureError, match=f"^{path}: {message}"):
            load_architecture(path)


def test_a_block_is_described_by_its_choices() -> None:
    assert parse_block({"kind": "convnext", "kernel_size": 7, "expansion": 4}).describe() == (
        "convnext (kernel_size 7, expansion 4.0)"
    )


def test_a_network_is_described_in_one_line(example_architecture: Architecture) -> None:
    assert example_architecture.describe() == "stem 8 | mbconv 12x2 /2 | attention 16x1 | head 32"


def test_a_problem_gives_the_shape_of_its_images() -> None:
    assert Problem(input_channels=3, resolution=32, num_classes=10).input_shape(4) == (4, 3, 32, 32)


def test_seeds_depend_on_every_part_and_fit_63_bits() -> None:
    seeds = {derive_seed(run, use, digest) for run in (0, 1) for use in ("weights", "order") for digest in ("a", "b")}

    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(0, "weights") == derive_seed(0, "weights")


def test_a_ready_model_is_an_architecture_of_one_name() -> None:
    ready = ReadyArchitecture(timm="resnet10t")

    # printf '{"timm":"resnet10t","version":1}' | sha256sum
    assert ready.digest == "d826cc58e14dbcb12977579ecc227645d2973536f29100c562cb0ce5c96a5e61"
    assert json.loads(ready.to_json()) == {"version": 1, "timm": "resnet10t"}
    assert (ready.name, ready.describe(), ready.block_kinds) == ("resnet10t", "timm resnet10t", ())


def test_both_kinds_of_architecture_come_back_from_json_as_they_were(
    tmp_path: Path, example_architecture: Architecture
) -> None:
    for architecture in (example_architecture, ReadyArchitecture(timm="resnet10t")):
        (tmp_path / "one.json").write_text(architecture.to_json())
        candidate = Candidate(architecture=architecture)

        assert parse_architecture(architecture.to_json()) == architecture
        assert load_architecture(tmp_path / "one.json") == architecture
        assert Candidate.model_validate_json(candidate.model_dump_json()) == candidate
        assert pickle.loads(pickle.dumps(candidate)).digest == candidate.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"timm": "resnet10t", "stem": {"width": 8}}', "unknown key 'stem'; known: timm, version"),
        ('{"timm": "resnet18.a1_in1k"}', "timm: 'resnet18.a1_in1k' names weights; a ready model has new ones"),
        ('{"timm": "hf-hub:timm/resnet18"}', "timm: 'hf-hub:timm/resnet18' names weights"),
        ('{"timm": 18}', "timm: must be text, got 18"),
        ('{"timm": "resnet10t"', "not JSON"),
        ('{"version": 2, "timm": "resnet10t"}', "version: must be 1, got 2"),
    ],
)
def test_what_is_no_ready_model_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=f"^not an architecture: .*{message}") as caught:
        parse_architecture(text)
    assert "\n" not in str(caught.value)
