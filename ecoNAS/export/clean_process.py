"""What an export computes where there is no ecoNAS: `python -I clean_process.py EXPORT EXCHANGE`, in its own process.

Reads images from EXCHANGE/images.safetensors, writes what the exported network makes of them to outputs.safetensors,
and what was found (parameters, FLOPs, which modules were imported) to findings.json. It imports nothing of ecoNAS
itself; what is compared with what is decided by `verify`.
"""

import importlib.util
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

FORBIDDEN = "ecoNAS"


def main(export: Path, exchange: Path) -> None:
    """Load the export and write down what it is and what it computes."""
    sys.modules[FORBIDDEN] = None  # type: ignore[assignment]  # importing it, or anything in it, raises ImportError now
    torch.set_num_threads(1)
    spec = importlib.util.spec_from_file_location("model", export / "model.py")
    assert spec is not None
    assert spec.loader is not None
    definition = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(definition)
    network = definition.build_model(export / "weights.safetensors")
    network.requires_grad_(False)
    images = load_file(exchange / "images.safetensors")
    outputs = {name: network(x_bchw).contiguous() for name, x_bchw in images.items()}
    one_image = next(iter(images.values()))[:1]
    # Attention as plain matrix products: torch has had fused kernels that its own counter did not know.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(one_image)
    findings = {
        "params": sum(parameter.numel() for parameter in network.parameters()),
        "flops": counter.get_total_flops(),
        "is_training": network.training,
        "econas_modules": [name for name in sys.modules if name.partition(".")[0] == FORBIDDEN and sys.modules[name]],
    }
    save_file(outputs, exchange / "outputs.safetensors")
    (exchange / "findings.json").write_text(json.dumps(findings), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
