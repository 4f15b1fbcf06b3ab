"""The images of a run in its report."""

from types import SimpleNamespace
from typing import Any, cast

from ecoNAS.analysis.data_section import data_section
from ecoNAS.analysis.run import Run
from ecoNAS.data.audit import DataAudit, TwinReport


def run_with(audit: DataAudit | None) -> Run:
    return cast(Run, SimpleNamespace(audit=audit))


def audit_with(**changes: Any) -> DataAudit:
    clean = TwinReport(split="test", earlier="train", num_images=9, identical=0, near=0, other_label=0, pairs=())
    fields = {"class_names": ("ant", "<b>"), "counts": {"train": (30, 10), "test": (5, 4)}, "num_broken": 0}
    return DataAudit(**{**fields, "twins": (clean,), **changes})


def test_classes_stand_with_their_images_in_each_split() -> None:
    (section,) = data_section(run_with(audit_with()))

    assert "40 for train, 9 for test" in section
    assert "<td>30</td><td>5</td>" in section
    assert "&lt;b&gt;" in section
    assert "<b>" not in section
    assert "No test image has a twin among the training images." in section


def test_of_many_classes_the_smallest_are_shown() -> None:
    names = tuple(f"class-{number}" for number in range(40))
    (section,) = data_section(run_with(audit_with(class_names=names, counts={"train": tuple(range(1, 41))})))

    assert "The 30 smallest of 40 classes." in section
    assert "class-29<" in section
    assert "class-30<" not in section


def test_a_run_that_nobody_looked_over_has_no_such_section() -> None:
    assert list(data_section(run_with(None))) == []
