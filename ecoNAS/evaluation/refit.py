"""A network trained in full after the search, and read once on the test split, which no search sees."""

import torch

from ecoNAS.data.datasets import load_data, load_test_split
from ecoNAS.data.transforms import Normaliser
from ecoNAS.errors import DataError
from ecoNAS.evaluation.parts import train_in_parts
from ecoNAS.evaluation.task import EvaluationTask, NetworkTask
from ecoNAS.records import Refit, now
from ecoNAS.training.checkpoint import load_weights
from ecoNAS.training.metrics import score_accuracy
from ecoNAS.training.scores import score_all
from ecoNAS.training.trainer import EVALUATION_BATCHES, as_probabilities, predict


def refit(task: NetworkTask) -> Refit:
    """Train one network with one seed, keep its weights, and score it on the test split.

    Args:
        task: With the recipe of the refit, the seed as `replicate`, and a place for the weights.

    Raises:
        DataError: if there is no test split, or the data is not what the study was started with.
        InfeasibleTrainingError: if the training diverged or ran out of memory.
    """
    assert task.run_folder is not None
    assert task.weights is not None
    started = now()
    torch.set_num_threads(task.threads)
    training = train_in_parts(task)
    network = task.build()
    load_weights(network, task.run_folder / task.weights)
    split, data = load_test_split(task.data), load_data(task.data)
    if not len(split):
        raise DataError(f"data set {data.name} has no test images; a refit needs some")
    normaliser = Normaliser(data.normalisation, data.problem().resolution, task.device)
    network = network.to(task.device).to(memory_format=torch.channels_last)
    batch_size = EVALUATION_BATCHES * task.recipe.batch_size
    logits_nk = predict(network, split, normaliser, batch_size, task.device)
    probabilities_nk = as_probabilities(logits_nk)
    predictions = probabilities_nk.argmax(axis=1)
    accuracy = score_accuracy(predictions, split.labels, "test")
    return Refit(
        network=task.candidate.digest if isinstance(task, EvaluationTask) else task.architecture_key,
        trial=task.trial if isinstance(task, EvaluationTask) else None,
        replicate=task.replicate,
        costs=task.costs,
        training=training,
        test={"accuracy": accuracy, **score_all(probabilities_nk, split.labels, "test", task.user_scores)},
        test_predictions=tuple(int(label) for label in predictions),
        started=started,
        ended=now(),
    )
