"""How MONAI's transforms come nearest to what FedVoxel does before and after the network."""

from typing import Any

from fedvoxel.volumes.plan import IntensityPlan, PreprocessingPlan

_AXES = [["L", "R"], ["P", "A"], ["I", "S"]]

Transform = dict[str, Any]


def preprocessing(plan: PreprocessingPlan) -> list[Transform]:
    """Returns the transforms that prepare an image as `plan` says."""
    key = {"keys": "image"}
    transforms: list[Transform] = [
        {"_target_": "LoadImaged", **key},
        {"_target_": "EnsureChannelFirstd", **key},
        {"_target_": "Orientationd", **key, "axcodes": plan.orientation, "labels": _AXES},
    ]
    if plan.spacing_mm is not None:
        spacing: Transform = {"_target_": "Spacingd", **key, "pixdim": list(plan.spacing_mm), "mode": "bilinear"}
        transforms.append(spacing)
    return [*transforms, *_intensity(plan.intensity), {"_target_": "EnsureTyped", **key, "device": "@device"}]


def postprocessing() -> list[Transform]:
    """Returns the transforms that bring labels back to the image's grid and write them."""
    key = {"keys": "pred"}
    return [
        {"_target_": "Activationsd", **key, "softmax": True},
        {
            "_target_": "Invertd",
            **key,
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
            "to_tensor": True,
        },
        {"_target_": "AsDiscreted", **key, "argmax": True},
        {
            "_target_": "SaveImaged",
            **key,
            "output_dir": "@output_dir",
            "output_postfix": "seg",
            "output_dtype": "$np.uint8",
            "separate_folder": False,
            "resample": False,
        },
    ]


def _intensity(plan: IntensityPlan) -> list[Transform]:
    limits = {"keys": "image", "lower": plan.lower_percentile, "upper": plan.upper_percentile}
    if plan.method == "range":
        return [{"_target_": "ScaleIntensityRangePercentilesd", **limits, "b_min": 0.0, "b_max": 1.0, "clip": True}]
    return [
        {"_target_": "ClipIntensityPercentilesd", **limits},
        {"_target_": "NormalizeIntensityd", "keys": "image"},
    ]
