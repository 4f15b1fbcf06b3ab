"""How a worker comes by the joules of one network: computed where they are estimated, else measured in its lane."""

from pathlib import Path

import torch
from torch import nn

from ecoNAS.architecture import derive_seed
from ecoNAS.energy.estimate import estimate_profile
from ecoNAS.energy.lane import Lane
from ecoNAS.energy.lane_files import OWNER_CHARACTERS
from ecoNAS.energy.latency import measure_latency
from ecoNAS.energy.measure import Place
from ecoNAS.energy.runner import Runner
from ecoNAS.energy.select import is_estimated, select_estimator, select_meter
from ecoNAS.errors import MeasurementError
from ecoNAS.evaluation.devices import compute_device, gpu_uuid
from ecoNAS.evaluation.measure import measure_runner
from ecoNAS.evaluation.runners import build_runner
from ecoNAS.evaluation.task import NetworkTask
from ecoNAS.measurement import Latency
from ecoNAS.records import EnergyProfile, now


def profile_network(task: NetworkTask) -> EnergyProfile:
    """Return the joules per image of a task's network, with its latency where that is asked for or measured anyway.

    Raises:
        MeasurementError: if joules are to be measured and cannot be trusted, or this is not the reference device.
        EcoNASError: if the network does not run the way it is to be deployed.
    """
    try:
        return _estimated(task) if is_estimated(task.energy) else _measured(task)
    finally:
        torch.set_num_threads(task.threads)  # a deployment may have its own


def owner_of(run_folder: Path | None) -> str:
    """Return what a lane tells others of a run's measurements: its folder, by a path that they can follow."""
    owner = f"the run in {run_folder.absolute()}" if run_folder is not None else "an evaluation without a run"
    return owner[:OWNER_CHARACTERS]


def _estimated(task: NetworkTask) -> EnergyProfile:
    started, estimator = now(), select_estimator(task.energy)
    latency = _latency(task) if task.measures_latency else None
    return estimate_profile(estimator, task.deployed_costs, task.profile_key(estimator.device), latency, started)


def _latency(task: NetworkTask) -> Latency:
    """Return seconds per batch, with our own trainings on the device paused."""
    with Lane(compute_device(task.device, task.energy.root), owner=owner_of(task.run_folder)).measuring():
        runner = _runner(task)

        def once() -> None:
            runner.run()
            runner.synchronise()

        return measure_latency(once, runner.batch)


def _measured(task: NetworkTask) -> EnergyProfile:
    meter, reference = select_meter(task.energy, gpu_uuid(task.device)), task.reference
    if reference is not None and meter.info.device != reference.device:
        raise MeasurementError(
            f"joules of this study are measured on {reference.device} ({reference.device_name}) and this worker is on "
            f"{meter.info.device}; it may train but not profile"
        )
    place = Place(
        meter=meter,
        computes_on=compute_device(task.device, task.energy.root),
        settings=task.energy.protocol,
        target=task.target,
        root=task.energy.root,
        driver_pid=task.driver_pid,
        idle_file=task.run_folder / "idle.json" if task.run_folder is not None else None,
        is_reference=task.target <= task.energy.protocol.reference_target,
        owner=owner_of(task.run_folder),
    )
    seed = derive_seed(task.seed, "profile", task.architecture_key, task.target)
    return measure_runner(lambda: _runner(task), place, task.workload, task.profile_key(meter.info.device), seed=seed)


def _runner(task: NetworkTask) -> Runner:
    """Return a network of its own: running it as deployed must not change the one that is trained."""
    network: nn.Module = task.build_seeded()
    seed = derive_seed(task.seed, "inputs", task.architecture_key)
    return build_runner(network, task.problem.input_shape(task.deployment.batch), task.deployment, task.device, seed)
