"""What was found when the images of a data set were looked over: how many of each class, broken ones, twins.

This is the part of `split.json` that is for people, and how it is told to them. How it is found out is decided by
`look_over`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from ecoNAS.data.images import Part
from ecoNAS.frozen import Frozen

SHOWN: Final = 3  # pairs and files that a line names
UNEVEN: Final = 10.0  # the largest class has so many times the images of the smallest: accuracy hides the small ones


class TwinReport(Frozen):
    """Images of one split that are in an earlier one, too.

    Attributes:
        split: The later of the two.
        earlier: The earlier of the two.
        num_images: Images of the later split.
        identical: How many of these are in the earlier split pixel by pixel.
        near: How many more are nearly so.
        other_label: How many of both have another label there.
        pairs: Of each such image its name, and that of its twin in the earlier split.
    """

    split: Part
    earlier: Part
    num_images: int
    identical: int
    near: int
    other_label: int
    pairs: tuple[tuple[str, str], ...]

    @property
    def is_warning(self) -> bool:
        """Whether there is anything to warn of."""
        return self.identical + self.near > 0

    @property
    def line(self) -> str:
        """What it says."""
        words = {"train": "training", "validation": "validation", "test": "test"}
        if not self.is_warning:
            return f"No {words[self.split]} image has a twin among the {words[self.earlier]} images."
        shown = ", ".join(f"{one} = {other}" for one, other in self.pairs[:SHOWN])
        more = f" and {len(self.pairs) - SHOWN:,} more, listed in split.json" if len(self.pairs) > SHOWN else ""
        labels = f" {self.other_label:,} of them under another label." if self.other_label else ""
        return (
            f"{self.identical + self.near:,} of {self.num_images:,} {words[self.split]} images are among the "
            f"{words[self.earlier]} images, too ({self.identical:,} identical, {self.near:,} nearly so), and accuracy "
            f"counts them as skill: remove them from one of the two. {shown}{more}.{labels}"
        )


class DataAudit(Frozen):
    """What was found.

    Attributes:
        class_names: In the order of the labels.
        counts: Images of each class, by split.
        num_broken: Images that cannot be read and were left out of training and validation.
        twins: Of each pair of splits that was compared.
        not_compared: Why the test split was not compared with the others; empty where it was, or where there is none.
    """

    class_names: tuple[str, ...]
    counts: Mapping[Part, tuple[int, ...]]
    num_broken: int
    twins: tuple[TwinReport, ...]
    not_compared: str = ""

    @property
    def facts(self) -> list[str]:
        """What was found in order, a line each."""
        sizes = ", ".join(f"{sum(counts):,} for {part}" for part, counts in self.counts.items())
        found = [f"Images: {sizes}. {self._balance()}."]
        clean = [report.line for report in self.twins if not report.is_warning]
        return found + clean

    @property
    def warnings(self) -> list[str]:
        """What a user should act on, a line each."""
        return list(self._warnings())

    @property
    def lines(self) -> list[str]:
        """Facts, then warnings, as a terminal shows them."""
        return [*self.facts, *(f"Warning: {line}" for line in self.warnings)]

    def _balance(self) -> str:
        counts = self.counts["train"]
        low, high = min(counts), max(counts)
        number = f"{len(counts):,} classes"
        if low == high:
            return f"{number} of {low:,} training images each"
        few, many = self.class_names[counts.index(low)], self.class_names[counts.index(high)]
        return f"{number} of {low:,} ({few}) to {high:,} ({many}) training images"

    def _warnings(self) -> Iterator[str]:
        counts = self.counts["train"]
        if max(counts) >= UNEVEN * min(counts):
            yield (
                f"the largest class has {max(counts) / min(counts):.0f} times the images of the smallest; accuracy "
                "says little about small classes: add images of them"
            )
        if self.num_broken:
            yield f"{self.num_broken:,} images cannot be read and were left out; split.json names them"
        yield from (report.line for report in self.twins if report.is_warning)
        if self.not_compared:
            yield f"the test images were not compared with the others: {self.not_compared}"
