"""The README's commands and Python, run as they are written, in order, in a folder that looks like a fresh clone."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from ecoNAS.cli import main
from ecoNAS.config import ExperimentConfig

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# Less of everything, so that the whole page runs in seconds; nothing else is changed.
TINY = ["training.epochs=1", "workers={kind: in_process, device: cpu}"]
# And what a machine without a meter cannot do is estimated.
ELSEWHERE = {"search.trials=100": "search.trials=4", "30": "1", "energy.meter=auto": "energy.meter=estimate"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("econas ")]


def test_every_command_and_snippet_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("experiments", "search_spaces"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    done = []
    for command in commands():
        words = [ELSEWHERE.get(word, word) for word in command]
        if words[0] == "measure":
            words += ["--meter", "estimate"]
        if words[0] in ("search", "evaluate"):
            words += [part for value in TINY for part in ("--set", value)]
            if words[0] == "search" and "--resume" not in words:
                words += ["--set", "search.trials=2"]
        assert main(words) == 0, shlex.join(words)
        done.append(words[0])
    assert set(done) == {
        *("search", "front", "show", "report", "export", "evaluate", "compare", "doctor", "refit", "measure", "space"),
    }
    for snippet in blocks("python"):
        exec(compile(snippet, "README.md", "exec"), {})


def test_the_experiment_in_the_readme_is_the_one_that_is_shipped(tmp_path: Path) -> None:
    (block,) = blocks("yaml")
    assert yaml.safe_load(block) == yaml.safe_load((ROOT / "experiments" / "digits.yaml").read_text())
    path = tmp_path / "experiments" / "readme.yaml"
    path.parent.mkdir()
    path.write_text(block)
    ExperimentConfig.from_yaml(path)


def test_every_file_that_the_readme_names_is_there() -> None:
    for name in re.findall(r"`((?:search_spaces|notebooks|experiments|ecoNAS)/[\w./-]+)`", README):
        assert (ROOT / name).exists(), name


def test_make_knows_the_two_commands() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "make demo" in README
    assert "make test" in README
    assert re.search(r"^demo:", makefile, flags=re.MULTILINE)
    assert re.search(r"^test:", makefile, flags=re.MULTILINE)
