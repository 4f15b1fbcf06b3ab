"""Looks over the images of a data set before a search: class by class, and split against split.

The test images are opened for this, one chunk after the other, and compared by their pixels; no network sees them, and
one that cannot be read stops no search. What is said of what is found is decided by `audit`, what twins are by `twins`.
"""

from itertools import combinations

import numpy as np

from ecoNAS.config import DataConfig
from ecoNAS.data.audit import DataAudit, TwinReport
from ecoNAS.data.datasets import DataSet, open_source, read_test_split
from ecoNAS.data.images import Ints, Part
from ecoNAS.data.splits import DataSplit, Share
from ecoNAS.data.twins import Sketches, find_twins, sketch
from ecoNAS.errors import DataError


class AuditedSplit(DataSplit):
    """The content of `split.json`: which images each split holds, and what was found."""

    audit: DataAudit


def look_over(config: DataConfig, data: DataSet) -> DataAudit:
    """Return what the images of a data set are like, which takes seconds for some ten thousand of them.

    Args:
        config: Which images.
        data: Those to train and validate on, as loaded.

    Raises:
        DataError: if the source of the images is gone.
    """
    source = open_source(config)
    labels: dict[Part, Ints] = {"train": data.train.labels, "validation": data.validation.labels}
    shares: dict[Part, Share] = {"train": data.split.train, "validation": data.split.validation}
    sketches: dict[Part, Sketches] = {
        "train": sketch([data.train.images]),
        "validation": sketch([data.validation.images]),
    }
    not_compared = ""
    test = read_test_split(config, data)
    if test is not None:
        try:
            sketches["test"] = sketch(test)
        except DataError as error:  # a refit will say so, too; a search needs no test image
            not_compared = str(error)
        labels["test"], shares["test"] = test.labels, test.share

    def report(earlier: Part, later: Part) -> TwinReport:
        twins = find_twins(sketches[earlier], sketches[later])

        def name(part: Part, place: int) -> str:
            share = shares[part]
            return source.name(share.part, place if share.indices is None else share.indices[place])

        return TwinReport(
            split=later,
            earlier=earlier,
            num_images=len(labels[later]),
            identical=sum(twin.kind == "identical" for twin in twins),
            near=sum(twin.kind == "near" for twin in twins),
            other_label=sum(bool(labels[later][twin.place] != labels[earlier][twin.other]) for twin in twins),
            pairs=tuple((name(later, twin.place), name(earlier, twin.other)) for twin in twins),
        )

    num_classes = len(data.class_names)
    return DataAudit(
        class_names=data.class_names,
        counts={
            part: tuple(int(count) for count in np.bincount(given, minlength=num_classes))
            for part, given in labels.items()
        },
        num_broken=len(data.split.broken),
        twins=tuple(report(earlier, later) for earlier, later in combinations(sketches, 2)),
        not_compared=not_compared,
    )
