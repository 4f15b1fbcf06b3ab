"""Proof that an exported folder computes the function that was searched: run where there is no ecoNAS, and compared.

The exported definition is loaded in a clean process (`clean_process`), is given the same images as the searched
network, and has to agree on the outputs, the number of parameters and the MACs, which are counted there by another
counter (torch's FlopCounterMode) than here (fvcore).
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ecoNAS.architecture import Problem
from ecoNAS.errors import ExportError
from ecoNAS.frozen import Frozen
from ecoNAS.models.dry_run import dry_run
from ecoNAS.records import Costs

BATCH_SIZES: Final = (1, 5)
IMAGE_SEED: Final = 0
CLEAN_PROCESS: Final = Path(__file__).resolve().with_name("clean_process.py")
TIMEOUT_S: Final = 300.0
# Both sides run the same kernels; float32 rounding in another order makes about 1e-6 of the largest output.
RELATIVE_TOLERANCE: Final = 1e-5


class Verification(Frozen):
    """What was compared, and how far the exported network was from the searched one.

    Attributes:
        max_abs_difference: Largest absolute difference of any logit.
        tolerance: What was allowed: 1e-5 of the largest absolute logit, at least 1e-5.
        batch_sizes: How many images were sent through at once; drawn from N(0, 1) with a fixed seed.
        macs: Per image; equal by two counters, fvcore in the search and torch's FlopCounterMode in the clean process.
        files: SHA-256 of every other file of the export, by name.
    """

    version: Literal[1] = 1
    verified: bool
    max_abs_difference: float
    tolerance: float
    batch_sizes: tuple[int, ...] = BATCH_SIZES
    params: int
    macs: int
    files: dict[str, str] = {}


def verify_export(folder: Path, network: nn.Module, problem: Problem, costs: Costs) -> Verification:
    """Compare the definition and weights in `folder` with the searched network.

    Args:
        folder: Holds model.py and weights.safetensors.
        network: The searched network with the same weights.
        problem: What images it reads.
        costs: What was counted in the search.

    Raises:
        ExportError: if the export does not run without ecoNAS, or differs in outputs, parameters or MACs.
    """
    images = draw_images(problem)
    with dry_run(network):
        expected = {name: network(x_bchw) for name, x_bchw in images.items()}
    if not all(bool(logits.isfinite().all()) for logits in expected.values()):
        raise ExportError("the network's outputs are not finite, so there is nothing to compare; train it again")
    with tempfile.TemporaryDirectory() as exchange:
        findings, outputs = _run_clean(folder, images, Path(exchange))
    _check_findings(findings, costs)
    difference = max(float((outputs[name] - expected[name]).abs().max()) for name in images)
    tolerance = RELATIVE_TOLERANCE * max(1.0, *(float(logits.abs().max()) for logits in expected.values()))
    if not difference <= tolerance:  # a NaN is not
        raise ExportError(
            f"the exported definition computes something else: logits differ by {difference:.3g}, "
            f"allowed are {tolerance:.3g}"
        )
    return Verification(
        verified=True, max_abs_difference=difference, tolerance=tolerance, params=costs.params, macs=costs.macs
    )


def draw_images(problem: Problem) -> dict[str, torch.Tensor]:
    """Return random images (B, C, H, W) by batch size; always the same, and torch's global generator stays as it is."""
    generator = torch.Generator().manual_seed(IMAGE_SEED)
    return {f"batch{batch}": torch.randn(problem.input_shape(batch), generator=generator) for batch in BATCH_SIZES}


def _run_clean(
    folder: Path, images: Mapping[str, torch.Tensor], exchange: Path
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return what the clean process found and computed."""
    save_file(dict(images), exchange / "images.safetensors")
    # -I: no PYTHON* variables, no user packages, no current folder on the path; -B: no __pycache__ in the export.
    command = [sys.executable, "-I", "-B", str(CLEAN_PROCESS), str(folder.resolve()), "."]
    try:
        result = subprocess.run(command, cwd=exchange, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise ExportError(f"the exported definition did not finish in {TIMEOUT_S:.0f} s in a clean process") from None
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
        raise ExportError(f"the exported definition does not run without ecoNAS: {reason}")
    findings: dict[str, Any] = json.loads((exchange / "findings.json").read_text(encoding="utf-8"))
    return findings, load_file(exchange / "outputs.safetensors")


def _check_findings(findings: dict[str, Any], costs: Costs) -> None:
    if findings["econas_modules"]:
        raise ExportError(f"the exported definition imports ecoNAS: {', '.join(findings['econas_modules'])}")
    if findings["is_training"]:
        raise ExportError("the exported definition loads weights without going into evaluation mode")
    for name, found, wanted in (
        ("params", findings["params"], costs.params),
        ("macs", findings["flops"] / 2, costs.macs),
    ):
        if found != wanted:
            raise ExportError(f"the exported definition has {found:,.0f} {name}, the searched network {wanted:,}")
