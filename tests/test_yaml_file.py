"""How YAML becomes data, and how each mistake of a user becomes one line with file, line and remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from ecoNAS.errors import ConfigError
from ecoNAS.frozen import Frozen
from ecoNAS.yaml_file import read_yaml

JARGON = (
    "Input should",
    "valid dictionary",
    "instance of",
    "validation error",
    "Value error",
    "pydantic",
    "Extra inputs",
)
Mistake = Callable[[str | bytes], str]


class Inner(Frozen):
    """A nested section."""

    width: Annotated[int, Field(ge=1, le=8)] = 1
    color: Literal["red", "green"] = "red"
    ratio: float | None = None


class Range(Frozen):
    """One of two forms of a value."""

    log: tuple[float, float]


class Outer(Frozen):
    """A file."""

    name: str
    inner: Inner = Inner()
    items: Annotated[tuple[Inner, ...], Field(min_length=1)] = (Inner(),)
    lr: float | Range = 0.1
    flag: bool = False


@pytest.fixture
def mistake(tmp_path: Path) -> Mistake:
    """Return a function that reads a text as an Outer and returns the message, less the folder."""

    def read(text: str | bytes) -> str:
        path = tmp_path / "file.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ConfigError) as caught:
            read_yaml(path).validate(Outer)
        message = str(caught.value)
        assert "\n" not in message
        assert not any(word in message for word in JARGON)
        return message.replace(f"{tmp_path}/", "")

    return read


def read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return read_yaml(path).data


def test_numbers_in_scientific_notation_are_numbers(tmp_path: Path) -> None:
    data = read(tmp_path, "a: 5e6\nb: 1e-3\nc: -2.5E+2\nd: .5e1\ne: '5e6'\nf: e5\n")

    assert data == {"a": 5e6, "b": 1e-3, "c": -250.0, "d": 5.0, "e": "5e6", "f": "e5"}
    assert isinstance(data["a"], float)


def test_a_whole_number_in_scientific_notation_is_an_int_where_one_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("name: x\ninner: {width: 5e0, ratio: 1e-3}\n")

    inner = read_yaml(path).validate(Outer).inner

    assert (inner.width, inner.ratio) == (5, 0.001)


def test_keys_are_what_was_written(tmp_path: Path) -> None:
    assert read(tmp_path, "on: a\n1: b\nnull: c\n") == {"on": "a", "1": "b", "null": "c"}


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    assert read(tmp_path, "a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n")["c"] == {"b": 1, "d": 2}


def test_environment_variables_are_replaced_wherever_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECONAS_TEST", "here")
    monkeypatch.delenv("ECONAS_UNSET", raising=False)

    data = read(tmp_path, "a: ${ECONAS_TEST}/x\nb: ['${ECONAS_UNSET:-there}']\nc: {d: '${ECONAS_UNSET:-}!'}\n")

    assert data == {"a": "here/x", "b": ["there"], "c": {"d": "!"}}


def test_an_unset_environment_variable_is_named_with_line_key_and_remedy(
    mistake: Mistake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECONAS_UNSET", raising=False)

    assert mistake("name: x\ninner:\n  color: ${ECONAS_UNSET}\n") == (
        "file.yaml:3: inner.color: environment variable ECONAS_UNSET is not set; "
        "set it or give ${ECONAS_UNSET:-default}"
    )


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"nope\.yaml: no such file \(looked in {tmp_path}\)"):
        read_yaml(tmp_path / "nope.yaml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory$"):
        read_yaml(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "file.yaml: the file is empty"),
        ("# only a comment\n", "file.yaml: the file is empty"),
        (b"name: \xff\xfe\n", "file.yaml: is not text in UTF-8; save it as UTF-8"),
        ("- a\n- b\n", "file.yaml:1: the top level must be keys with values, such as 'name: value', got ['a', 'b']"),
        ("hello", "file.yaml:1: the top level must be keys with values, such as 'name: value', got 'hello'"),
        ("name: x\ninner:\n\twidth: 1\n", "with tabs"),
        ("name: x\nname: y\n", "file.yaml:2: key 'name' stands twice (first on line 1); keep one"),
        (
            "name: x\ninner:\n  width: 1\n  width: 2\n",
            "file.yaml:4: inner: key 'width' stands twice (first on line 3); keep one",
        ),
        ("name: 'x\n", "file.yaml:2: not valid YAML: while scanning a quoted scalar, found unexpected end of stream"),
        ("name: x: y\n", "file.yaml:1: not valid YAML: mapping values are not allowed here"),
        ("name: x\n---\nname: y\n", "file.yaml:2: not valid YAML: expected a single document in the stream"),
        ("name: !python/object x\n", "file.yaml:1: not valid YAML: could not determine a constructor"),
        ("name: 2026-13-45\n", "file.yaml: not valid YAML: month must be in 1..12"),
        ("? [a]\n: 2\n", "file.yaml:1: a key must be plain text, not a list or keys with values"),
        ("name: &a [*a]\n", "file.yaml:1: nested too deeply; does an alias hold itself?"),
    ],
)
def test_what_is_no_mapping_of_keys_is_refused_in_one_line(mistake: Mistake, text: str | bytes, message: str) -> None:
    assert message in mistake(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name: x\ninnr: {}\n",
            "2: innr: unknown key 'innr'; known: flag, inner, items, lr, name (did you mean 'inner'?)",
        ),
        (
            "name: x\ninner:\n  widht: 3\n",
            "3: inner.widht: unknown key 'widht'; known: color, ratio, width (did you mean 'width'?)",
        ),
        (
            "name: x\nitems:\n  - {width: 2}\n  - {colour: red}\n",
            "4: items.1.colour: unknown key 'colour'; known: color, ratio, width (did you mean 'color'?)",
        ),
        ("name: x\nlr: {lgo: [1, 2]}\n", "2: lr.lgo: unknown key 'lgo'; known: log (did you mean 'log'?) (and 2 more)"),
        ("inner: {}\n", "1: name: this key is required and missing; add 'name: ...'"),
        ("name: x\nlr: {log: 3}\n", "2: lr: must be a number, got {'log': 3} (and 1 more)"),
        ("name: x\nlr: fast\n", "2: lr: must be a number or keys with values (log), got 'fast'"),
        ("name: 3\n", "1: name: must be text, got 3"),
        ("name: x\ninner: 5\n", "2: inner: must be keys with values (width, color, ratio), got 5"),
        ("name: x\ninner:\n", "2: inner: must be keys with values (width, color, ratio), got nothing"),
        ("name: x\ninner: [1]\n", "2: inner: must be keys with values (width, color, ratio), got [1]"),
        ("name: x\nitems: {width: 1}\n", "2: items: must be a list, got {'width': 1}"),
        ("name: x\nitems: []\n", "2: items: must be at least 1 long, got []"),
        ("name: x\nitems: [3]\n", "2: items.0: must be keys with values (width, color, ratio), got 3"),
        ("name: x\ninner: {width: 0}\n", "2: inner.width: must be at least 1, got 0"),
        ("name: x\ninner: {width: 9}\n", "2: inner.width: must be at most 8, got 9"),
        ("name: x\ninner: {width: wide}\n", "2: inner.width: must be a whole number, got 'wide'"),
        ("name: x\ninner: {width: 1.5}\n", "2: inner.width: must be a whole number, got 1.5"),
        ("name: x\ninner: {ratio: .inf}\n", "2: inner.ratio: must be a finite number, got inf"),
        ("name: x\nflag: maybe\n", "2: flag: must be true or false, got 'maybe'"),
        (
            "name: x\ninner: {color: gren}\n",
            "2: inner.color: must be 'red' or 'green', got 'gren' (did you mean 'green'?)",
        ),
    ],
)
def test_a_broken_rule_says_line_key_value_and_what_would_work(mistake: Mistake, text: str, message: str) -> None:
    assert mistake(text) == f"file.yaml:{message}"


def test_a_misspelt_key_is_named_before_the_one_it_leaves_missing(mistake: Mistake) -> None:
    message = mistake("inner: {width: 99}\nnmae: x\n")

    assert message.startswith("file.yaml:2: nmae: unknown key 'nmae'")
    assert message.endswith("(did you mean 'name'?) (and 2 more)")


def test_a_nested_misspelt_key_is_named_before_other_mistakes(mistake: Mistake) -> None:
    assert mistake("inner:\n  widht: 3\n").startswith("file.yaml:2: inner.widht: unknown key 'widht'")


def test_long_values_are_shortened(mistake: Mistake) -> None:
    message = mistake(f"name: x\ninner: {list(range(1000))}\n")

    assert len(message) < 200
    assert message.endswith("...")


def test_paths_are_meant_beside_the_file_before_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    for name in ("there/both.txt", "here/both.txt", "here/only.txt"):
        (tmp_path / name).touch()
    (tmp_path / "there/file.yaml").write_text("a: 1\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    file = read_yaml(tmp_path / "there/file.yaml")

    assert file.resolve("both.txt") == tmp_path / "there/both.txt"
    assert file.resolve("only.txt") == tmp_path / "here/only.txt"
    assert file.resolve(tmp_path / "here/only.txt") == tmp_path / "here/only.txt"
    assert file.resolve("~/here/only.txt") == tmp_path / "here/only.txt"
