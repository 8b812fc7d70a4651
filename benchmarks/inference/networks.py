"""The networks that are compared, of about five million parameters each, in the forms that the systems take."""

import io
from pathlib import Path
from typing import Any

CLASSES = 2
SEED = 1
NETWORKS: dict[str, dict[str, Any]] = {
    "UNet": {"channels": [16, 32, 64, 128, 256], "strides": [2, 2, 2, 2], "num_res_units": 2},
    "DynUNet": {
        "kernel_size": [3, 3, 3, 3, 3],
        "strides": [1, 2, 2, 2, 2],
        "upsample_kernel_size": [2, 2, 2, 2],
        "filters": [16, 32, 64, 128, 232],
    },
    "SegResNet": {"init_filters": 16, "blocks_down": [1, 2, 2, 4], "blocks_up": [1, 1, 1]},
}
_CONVERTED_AT = (32, 32, 32)


def torch_network(name: str) -> Any:
    """Returns a network in evaluation, with weights drawn from a fixed seed."""
    from fedvoxel.training.config import ComponentConfig
    from fedvoxel.training.networks import build_network

    return build_network(ComponentConfig(name=name, arguments=NETWORKS[name]), CLASSES, SEED).eval()


def convert(name: str, folder: Path) -> int:
    """Writes `NAME.onnx` (as `fedvoxel export` makes it) and `NAME.ts`, and returns the number of parameters."""
    import torch

    from fedvoxel.export.forms import forms_of

    network = torch_network(name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.onnx").write_bytes(forms_of(network, _CONVERTED_AT, CLASSES).onnx)
    stream = io.BytesIO()
    with torch.no_grad():
        traced = torch.jit.freeze(torch.jit.trace(network, torch.zeros(1, 1, *_CONVERTED_AT)))
        torch.jit.save(traced, stream)
    (folder / f"{name}.ts").write_bytes(stream.getvalue())
    return sum(parameter.numel() for parameter in network.parameters())
