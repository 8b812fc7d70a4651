"""The MONAI bundle inside a package: for who works with MONAI, on a package that was verified and unpacked.

Its configuration is Python in disguise (`$` and `_target_`), as MONAI's is meant to be: it is written from a fixed
text, nothing of a job gets into it but the plain arguments of the network, and neither prediction nor review ever
reads it. MONAI resamples and scales almost, but not bit for bit, as FedVoxel does.
"""

from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from fedvoxel.errors import ConfigError
from fedvoxel.export.bundle_transforms import postprocessing, preprocessing
from fedvoxel.export.description import ModelDescription
from fedvoxel.export.written import text_of_json

WEIGHTS, PROGRAM = "bundle/models/model.pt", "bundle/models/model.pt2"
METADATA, INFERENCE = "bundle/configs/metadata.json", "bundle/configs/inference.json"
SCHEMA, README, LICENCE = "bundle/configs/metadata_schema.json", "bundle/docs/README.md", "bundle/LICENSE"

SCHEMA_URL = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
"""Where MONAI would fetch its own schema from; with `--filepath` it takes the one in the bundle."""

NO_LICENCE = """\
Whoever made this model has not said under which licence it may be used. Ask the consortium's operator before you pass
it on.
"""

_EVALUATION: dict[str, Any] = {
    "handlers": [
        {
            "_target_": "CheckpointLoader",
            "load_path": "@ckpt_path",
            "load_dict": {"model": "@network"},
            "map_location": "@device",
        }
    ],
    "evaluator": {
        "_target_": "SupervisedEvaluator",
        "device": "@device",
        "val_data_loader": "@dataloader",
        "network": "@network",
        "inferer": "@inferer",
        "postprocessing": "@postprocessing",
        "val_handlers": "@handlers",
    },
    "initialize": ["$@network.eval()"],
    "run": ["$@evaluator.run()"],
}

_README = """\
# {title} {version}

A MONAI bundle. It came out of a signed package: use it only if you unpacked it yourself with `fedvoxel export unpack`,
which checks the signature first. What the model is for, and where it fails, is in `docs/model_card.md` of the package.

Run it on the NIfTI images of a folder:

    python -m monai.bundle run --bundle_root . --meta_file configs/metadata.json --config_file configs/inference.json \\
        --dataset_dir IMAGES --output_dir LABELS

Check it:

    python -m monai.bundle verify_metadata --meta_file configs/metadata.json --filepath configs/metadata_schema.json
    python -m monai.bundle verify_net_in_out --net_id network_def --meta_file configs/metadata.json \\
        --config_file configs/inference.json

`models/model.pt` holds the weights (it loads with `weights_only=True`), `models/model.pt2` the network as a
torch.export program. Images are prepared by MONAI's transforms, so that results differ a little from those of
`fedvoxel predict`.
"""


def bundle_of(
    description: ModelDescription, network: str, arguments: Mapping[str, Any], licence: str = NO_LICENCE
) -> dict[str, bytes]:
    """Returns the texts of a bundle, by member name.

    Args:
        description: The model's.
        network: A class of `monai.networks.nets`.
        arguments: All of its arguments, JSON values.
        licence: The text of `LICENSE`.

    Raises:
        ConfigError: An argument is one that MONAI would take for a program.
    """
    _check_plain(arguments)
    return {
        METADATA: text_of_json(_metadata(description)),
        INFERENCE: text_of_json(_inference(description, network, dict(arguments))),
        SCHEMA: files(__package__).joinpath("bundle_schema.json").read_bytes(),
        README: _README.format(title=description.title, version=description.version).encode(),
        LICENCE: licence.encode(),
    }


def _check_plain(value: Any) -> None:
    """Refuses what MONAI's parser reads as an expression, a reference, a macro, or a class to make."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if str(key).startswith("_") or "::" in str(key) or "#" in str(key):
                raise ConfigError(f"training.network.arguments: MONAI reads the key {key!r} as more than a name")
            _check_plain(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_plain(item)
    elif isinstance(value, str) and ("$" in value or "@" in value or "%" in value):
        raise ConfigError("training.network.arguments: MONAI reads $, @ and % in a text as programs; leave them out")


def _metadata(description: ModelDescription) -> dict[str, Any]:
    names = ["background", *(structure.label for structure in description.structures)]
    roi = list(description.inference.roi_size)
    shared = {"dtype": "float32", "is_patch_data": True, "spatial_shape": roi}
    image = {
        "type": "image",
        "format": "magnitude",
        "num_channels": 1,
        "value_range": [],
        "channel_def": {"0": "image"},
    }
    logits = {"type": "image", "format": "segmentation", "num_channels": len(names), "value_range": []}
    logits["channel_def"] = {str(index): name for index, name in enumerate(names)}
    return {
        "schema": SCHEMA_URL,
        "version": description.version,
        "changelog": {description.version: "exported from a federated training"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {name: version(name) for name in ("nibabel", "pytorch-ignite")},
        "name": description.title,
        "task": "Segmentation: " + ", ".join(names[1:]),
        "description": f"{description.title}, trained by hospitals that kept their scans.",
        "authors": "the consortium that trained it",
        "copyright": "see LICENSE",
        "intended_use": description.intended_use,
        "data_type": "nifti",
        "image_classes": "one channel: " + ", ".join(description.input.modalities),
        "label_classes": ", ".join(f"{index} {name}" for index, name in enumerate(names)),
        "network_data_format": {"inputs": {"image": image | shared}, "outputs": {"pred": logits | shared}},
    }


def _inference(description: ModelDescription, network: str, arguments: dict[str, Any]) -> dict[str, Any]:
    window = description.inference
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/labels'",
        "ckpt_path": "$@bundle_root + '/models/model.pt'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "data": "$[{'image': path} for path in sorted(glob.glob(os.path.join(@dataset_dir, '*.nii*')))]",
        "network_def": {"_target_": f"monai.networks.nets.{network}", **arguments},
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": preprocessing(description.plan)},
        "dataset": {"_target_": "Dataset", "data": "@data", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": list(window.roi_size),
            "sw_batch_size": window.batch_size,
            "overlap": window.overlap,
            "mode": "gaussian",
        },
        "postprocessing": {"_target_": "Compose", "transforms": postprocessing()},
        **_EVALUATION,
    }
