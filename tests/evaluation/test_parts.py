"""One record from the parts of a training."""

from collections.abc import Callable

from ecoNAS.evaluation.parts import join_trainings
from ecoNAS.records import Evaluation


def test_what_a_training_began_with_is_what_its_first_part_says(make_evaluation: Callable[..., Evaluation]) -> None:
    """After a death another network may be the nearest to inherit from; the weights came from the first."""
    one = make_evaluation().training
    assert one is not None
    first = one.model_copy(update={"key": one.key.model_copy(update={"start": "inherit:a"})})
    later = one.model_copy(update={"key": one.key.model_copy(update={"start": "inherit:b"})})

    assert join_trainings(first, later).key.start == "inherit:a"
