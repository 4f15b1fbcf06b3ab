"""Architectures drawn as SVG: well-formed, with sizes by hand, and within the page."""

from xml.etree import ElementTree

from ecoNAS.analysis.svg import WIDTH, draw_svg
from ecoNAS.architecture import Architecture, HeadSpec, Problem, StageSpec, StemSpec
from ecoNAS.block_specs import AttentionSpec, MBConvSpec

SVG = "{http://www.w3.org/2000/svg}"
CONVOLUTION = StageSpec(width=24, depth=2, stride=2, block=MBConvSpec(kernel_size=5, expansion=2, squeeze_excite=True))
ATTENTION = StageSpec(width=32, depth=1, stride=1, block=AttentionSpec(num_heads=4, mlp_ratio=2))
PROBLEM = Problem(input_channels=3, resolution=32, num_classes=17)


def network(*stages: StageSpec, head: int = 64) -> Architecture:
    return Architecture(stem=StemSpec(width=16, stride=2), stages=stages, head=HeadSpec(width=head))


def drawn(architecture: Architecture, note: str = "") -> ElementTree.Element:
    return ElementTree.fromstring(draw_svg(architecture, PROBLEM, note))


def texts(root: ElementTree.Element) -> list[str]:
    return [item.text or "" for item in root.iter(f"{SVG}text")]


def test_every_part_has_a_box_with_kind_depth_width_and_feature_map() -> None:
    words = texts(drawn(network(CONVOLUTION, ATTENTION), "9 MACs"))
    # 32 -> stem /2 -> 16 -> stage 1 /2 -> 8 -> stage 2 -> 8 -> head -> 17 scores
    assert [text for text in words if " x " in text or "scores" in text] == [
        "3 x 32 x 32", "16 x 16 x 16", "2 x mbconv", "24 x 8 x 8", "1 x attention", "32 x 8 x 8", "64 x 8 x 8",
        "17 scores",
    ]  # fmt: skip
    assert words.count("stride 2") == 2
    assert "kernel size 5, expansion 2, squeeze excite" in words
    assert words[1] == "9 MACs"


def test_feature_maps_are_to_scale() -> None:
    squares = [item for item in drawn(network(CONVOLUTION)).iter(f"{SVG}rect") if item.find(f"{SVG}title") is not None]
    sides = [float(item.attrib["width"]) for item in squares]
    assert sides[2] / sides[0] == 0.5  # 8 of 32 positions: the square root of a quarter
    assert all(item.attrib["width"] == item.attrib["height"] for item in squares)


def test_nothing_leaves_the_page_however_many_stages_there_are() -> None:
    root = drawn(network(*[CONVOLUTION] * 16, head=0), "a note " * 60)
    height = float(root.attrib["height"])
    for item in root.iter(f"{SVG}rect"):
        assert float(item.attrib.get("x", 0)) + float(item.attrib["width"]) <= WIDTH
        assert float(item.attrib.get("y", 0)) + float(item.attrib["height"]) <= height
    assert all(float(item.attrib["y"]) <= height for item in root.iter(f"{SVG}text"))
    assert max(len(text) for text in texts(root)) <= 88


def test_what_a_user_named_cannot_break_the_document() -> None:
    assert "a < b & c" in texts(drawn(network(ATTENTION), "a < b & c"))
