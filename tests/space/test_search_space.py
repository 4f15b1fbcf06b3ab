"""The space of networks keeps the space protocol: see also tests/conformance/test_space.py."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ecoNAS.architecture import Architecture
from ecoNAS.errors import ArchitectureError, ConfigError
from ecoNAS.space.choices import SpaceFile
from ecoNAS.space.search_space import SearchSpace

SPACES = Path(__file__).parents[2] / "search_spaces"

SMALL = {
    "name": "small",
    "resolution": {"min": 8, "max": 8},
    "stem": {"width": 8},
    "stages": [
        {
            "width": [8, 12],
            "depth": [1, 2],
            "stride": 1,
            "block": {"attention": {"num_heads": [2, 3, 8], "mlp_ratio": 2}},
        },
        {
            "width": 8,
            "depth": [0, 1],
            "stride": [1, 2],
            "block": {"fused_mbconv": {"kernel_size": 3, "expansion": [1, 2]}},
        },
    ],
}


def small(**changes: object) -> SearchSpace:
    return SearchSpace(SpaceFile.model_validate({**SMALL, **changes}))


def test_hybrid_tiny_holds_more_than_a_million_architectures() -> None:
    space = SearchSpace.from_yaml(SPACES / "hybrid_tiny.yaml")
    # stem 3 x 2, head 3; stages: widths x depths x strides x (choices of each block kind); two may be left out.
    first, second, third = 3 * 2 * 2 * (12 + 3 + 4), 4 * 2 * 2 * (8 + 2 + 4 + 9) + 1, 4 * 2 * 2 * (8 + 4 + 9) + 1
    assert space.size == 6 * 3 * first * second * third
    assert space.size > 10**6


def test_size_agrees_with_counting_every_parameter_set_by_hand() -> None:
    # stage 1: 2 widths x 2 depths x 3 heads = 12; stage 2: left out, or 2 strides x 2 expansions = 5
    assert small().size == 12 * 5


def test_every_block_kind_of_hybrid_tiny_is_drawn() -> None:
    space = SearchSpace.from_yaml(SPACES / "hybrid_tiny.yaml")
    rng = np.random.default_rng(1)
    kinds = Counter(kind for _ in range(500) for kind in space.random(rng).architecture.block_kinds)
    assert set(kinds) == {"mbconv", "fused_mbconv", "convnext", "attention"}


def test_heads_that_do_not_divide_the_width_are_repaired_downwards() -> None:
    space = small()
    candidate = space.from_parameters({"stage1.width": 8, "stage1.attention.num_heads": 3})
    assert candidate.architecture.stages[0].block.model_dump()["num_heads"] == 2


def test_heads_are_repaired_upwards_where_nothing_below_divides() -> None:
    stages = [{**SMALL["stages"][0], "width": 9, "block": {"attention": {"num_heads": [2, 3], "mlp_ratio": 2}}}]  # type: ignore[index]
    candidate = small(stages=stages).from_parameters({"stage1.attention.num_heads": 2})
    assert candidate.architecture.stages[0].block.model_dump()["num_heads"] == 3


def test_what_no_rule_can_repair_is_invalid_and_says_why() -> None:
    stages = [{**SMALL["stages"][0], "width": 7, "block": {"attention": {"num_heads": [2, 3], "mlp_ratio": 2}}}]  # type: ignore[index]
    space = small(stages=stages)
    candidate = space.from_parameters({})
    assert not space.is_valid(candidate)
    with pytest.raises(
        ArchitectureError, match="stage 1: width 7 is not divisible by num_heads 2; choose heads from 1, 7"
    ):
        candidate.architecture.check()


def test_inactive_choices_do_not_change_the_digest() -> None:
    space = small()
    left_out = [
        space.from_parameters({"stage2.depth": 0, "stage2.stride": stride, "stage2.fused_mbconv.expansion": ratio})
        for stride in (1, 2)
        for ratio in (1, 2)
    ]
    assert len({candidate.digest for candidate in left_out}) == 1
    assert len(left_out[0].architecture.stages) == 1


def test_a_choice_written_as_an_integer_comes_back_as_it_was_written() -> None:
    space = small()
    value = space.parameters(space.from_parameters({"stage2.depth": 1, "stage2.fused_mbconv.expansion": 2}))
    assert value["stage2.fused_mbconv.expansion"] == 2
    assert isinstance(value["stage2.fused_mbconv.expansion"], int)


def test_deployment_choices_change_the_candidate_but_not_the_architecture() -> None:
    space = small(deployment={"threads": [1, 2]})
    one, two = (space.from_parameters({"deployment.threads": threads}) for threads in (1, 2))
    assert one.architecture.digest == two.architecture.digest
    assert one.digest != two.digest
    assert two.deployment.threads == 2


def test_an_architecture_of_another_space_has_no_parameters_here() -> None:
    other = SearchSpace.from_yaml(SPACES / "hybrid_tiny.yaml").random(np.random.default_rng(0))
    with pytest.raises(ArchitectureError, match="not of the space 'small'"):
        small().parameters(other)


def test_neighbours_differ_in_one_decision_and_are_all_there() -> None:
    space = small()
    candidate = space.from_parameters({"stage1.width": 8, "stage1.attention.num_heads": 2, "stage2.depth": 0})
    found = {other.architecture.describe() for other in space.neighbours(candidate, np.random.default_rng(0))}
    # From attention 8x1 with 2 heads: width 12, depth 2, heads 8 (3 is repaired to 2, itself), or stage 2 put in.
    assert found == {
        "stem 8 | attention 12x1",
        "stem 8 | attention 8x2",
        "stem 8 | attention 8x1",
        "stem 8 | attention 8x1 | fused_mbconv 8x1",
    }


def test_a_child_takes_each_part_whole_from_one_parent() -> None:
    space = SearchSpace.from_yaml(SPACES / "hybrid_tiny.yaml")
    rng = np.random.default_rng(3)
    for _ in range(200):
        a, b = space.random(rng), space.random(rng)
        child: Architecture = space.crossover(a, b, rng).architecture
        assert child.stem in (a.architecture.stem, b.architecture.stem)
        assert child.head in (a.architecture.head, b.architecture.head)
        assert set(child.stages) <= {*a.architecture.stages, *b.architecture.stages}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("name: x\nstagse: []\n", r"unknown key 'stagse'.*did you mean 'stages'"),
        ("resolution: {min: 8, max: 8}\nname: x\nstem: {width: 8}\nstages:\n  - {width: 8, depth: 1, stride: 1, "
         "block: {mbcnov: {kernel_size: 3}}}\n", r"unknown block kind 'mbcnov'.*did you mean 'mbconv'"),
        ("resolution: {min: 8, max: 8}\nname: x\nstem: {width: 8}\nstages:\n  - {width: 8, depth: 1, stride: 1, "
         "block: {convnext: {kernel_size: 4, expansion: 2}}}\n", r"convnext: kernel_size 4 must be .*odd"),
        ("resolution: {min: 8, max: 8}\nname: x\nstem: {width: 8}\nstages:\n  - {width: 8, depth: 1, stride: 3, "
         "block: {convnext: {kernel_size: 3, expansion: 2}}}\n", r"stage1: stride 3 must be 1 or 2"),
        ("resolution: {min: 8, max: 8}\nname: x\nstem: {width: 8}\nstages:\n  - {width: 8, depth: 1, stride: 1, "
         "block: {convnext: {kernel_size: 3}}}\n", r"convnext: the choice 'expansion' is missing"),
        ("resolution: {min: 8, max: 8}\nname: x\nstem: {width: []}\nstages: []\n", "a choice needs at least one"),
        ("resolution: {min: 8, max: 8}\nname: x\nstem: {width: [8, 8]}\nstages: []\n", r"8 stands twice"),
        ("resolution: {min: 8, max: 8}\nname: x\nstem: {width: 8}\ndeployment: {thraeds: [1]}\nstages:\n  - {width: 8, "
         "depth: 1, stride: 1, block: {convnext: {kernel_size: 3, expansion: 2}}}\n", r"did you mean 'threads'"),
    ],
)  # fmt: skip
def test_a_wrong_space_file_is_refused_in_one_line(tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(change)
    with pytest.raises(ConfigError, match=message) as caught:
        SearchSpace.from_yaml(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")
