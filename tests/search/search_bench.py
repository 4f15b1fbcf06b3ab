"""A search without networks: the space is real, costs and accuracies are arithmetic, evaluations come at once."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import optuna

from ecoNAS.architecture import Architecture, Candidate, Deployment, Problem, derive_seed
from ecoNAS.costs.constraints import Constraint, parse_constraint
from ecoNAS.costs.screen import GateTally, screen
from ecoNAS.evaluation.objectives import OBJECTIVES, Objectives
from ecoNAS.evaluation.workers import InProcessWorkers, Workers
from ecoNAS.records import Costs, Evaluation, Outcome, Score, Training, TrainingKey, now
from ecoNAS.run_folder import RunFolder
from ecoNAS.search.beliefs import Target
from ecoNAS.search.budget import Budget
from ecoNAS.search.growth import Growth, Plateau
from ecoNAS.search.halving import SPREADS, Rungs
from ecoNAS.search.loop import SearchLoop
from ecoNAS.search.memory import Memory
from ecoNAS.search.parts import Parts
from ecoNAS.search.samplers import SAMPLERS, CandidateSampler, SamplerContext
from ecoNAS.search.storage import open_study
from ecoNAS.space.search_space import SearchSpace

SPACES = Path(__file__).parents[2] / "search_spaces"
RUNGS = ("epoch 1", "epoch 3")
PROBLEM = Problem(input_channels=1, resolution=8, num_classes=10)


@dataclass(frozen=True)
class FakeTask:
    """What the real task is cut down to here."""

    trial: int
    candidate: Candidate
    costs: Costs
    level: int = 0


def fake_costs(architecture: Architecture, resolution: int | None = None) -> Costs:
    """Costs that grow with widths and depths; the numbers mean nothing."""
    params = sum(stage.width * stage.depth * 10 for stage in architecture.stages) + architecture.stem.width
    return Costs(params=params, macs=params * 7, activation_memory_bytes=params)


def fake_evaluation(task: FakeTask, outcome: Outcome = Outcome.EVALUATED) -> Evaluation:
    """An evaluation whose accuracy depends on the digest alone."""
    accuracy = (derive_seed("accuracy", task.candidate.digest) % 1000) / 1000
    key = TrainingKey(architecture=task.candidate.architecture.digest, data="d", recipe="r", resolution=8, seed=0)
    training = Training(
        key=key,
        accuracy=Score(value=accuracy, standard_error=0.01, num_samples=100, split="validation", kind="measured"),
        curve=(),
        num_train_images=1,
        images_seen=1,
        validation_predictions=(),
        energy=None,
        weights_file=None,
        device="cpu",
        duration_s=0.0,
        started=now(),
        ended=now(),
    )
    return Evaluation(
        trial=task.trial,
        candidate=task.candidate,
        problem=PROBLEM,
        outcome=outcome,
        reason="" if outcome is Outcome.EVALUATED else "diverged",
        costs=task.costs,
        training=training if outcome is Outcome.EVALUATED else None,
        started=now(),
        ended=now(),
    )


@dataclass
class Bench:
    """Makes loops over one folder, as drivers that come one after the other would."""

    folder: RunFolder
    sampler: str = "random"
    space_name: str = "hybrid_tiny"
    trials: int = 12
    bounds: tuple[str, ...] = ()
    run: Callable[[FakeTask], Evaluation] = fake_evaluation
    budget: Budget = field(default_factory=Budget)
    plateau: Plateau | None = None
    factor: float = 0.0  # of halving; 0 for none
    workers: Callable[[Callable[[FakeTask], Evaluation]], Workers[FakeTask, Evaluation]] = InProcessWorkers
    training_of: Callable[[FakeTask], str | None] = lambda task: None
    evaluated: list[str] = field(default_factory=list)
    parts: list[tuple[int, int]] = field(default_factory=list)

    def loop(self) -> SearchLoop:
        """Return a new driver's loop."""
        space = SearchSpace.from_yaml(SPACES / f"{self.space_name}.yaml").bind(Deployment(), fake_costs)
        units = {name: objective.unit for name, objective in OBJECTIVES.items()}
        constraints: list[Constraint] = [parse_constraint(text, units) for text in self.bounds]
        memory = Memory()
        objectives = Objectives((OBJECTIVES["accuracy"], OBJECTIVES["params"]), 1e6)
        rungs = Rungs(RUNGS, self.factor, objectives.directions, SPREADS["crowding"]) if self.factor else None
        context = SamplerContext(
            space,
            0,
            self.trials,
            0,
            lambda candidate: screen(space.costs(candidate), constraints),
            tuple(Target(item.name, item.direction, item.known) for item in objectives.items),
            memory.__contains__,
            rungs=rungs,
        )
        sampler = CandidateSampler(space, SAMPLERS[self.sampler](context), memory.__contains__)
        study = open_study(self.folder.study, objectives.names, objectives.directions, sampler)
        if rungs is not None:
            rungs.choose = partial(sampler.choose, study)
        return SearchLoop(
            Parts(
                space=space,
                study=study,
                workers=self.workers(self._evaluate),
                training_of=self.training_of,
                folder=self.folder,
                memory=memory,
                tally=GateTally(constraints),
                screen=lambda candidate: screen(space.costs(candidate), constraints),
                make_task=lambda number, candidate, found: FakeTask(number, candidate, found.costs),
                values=objectives.values,
                errors=objectives.errors,
                growth=Growth(
                    objectives.names,
                    objectives.directions,
                    {item.name: item.bound for item in constraints},
                    self.plateau,
                ),
                trials=self.trials,
                budget=self.budget,
                rungs=rungs,
                rung_of=lambda evaluation: int(evaluation.reason),
                go_on=lambda task, evaluation: replace(task, level=int(evaluation.reason) + 1),
            )
        )

    def study(self) -> optuna.Study:
        """Open the study as Optuna's own tools would."""
        return optuna.load_study(study_name="econas", storage=f"sqlite:///{self.folder.study}")

    def _evaluate(self, task: FakeTask) -> Evaluation:
        self.evaluated.append(task.candidate.digest)
        self.parts.append((task.trial, task.level))
        found = self.run(task)
        if self.factor and task.level < len(RUNGS) and found.outcome is Outcome.EVALUATED:
            return found.model_copy(update={"outcome": Outcome.STOPPED, "reason": str(task.level)})
        return found
