"""Windows, weights and sums are MONAI's, in bounded memory; an output that is no good is refused."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray

from fedvoxel.errors import PredictionError
from fedvoxel.evaluation.inference.memory import MIB, MemoryBound, resident_bytes
from fedvoxel.evaluation.inference.session import Batch
from fedvoxel.evaluation.inference.sliding import SlidingWindow
from fedvoxel.evaluation.inference.windows import plan_windows, weights_of
from fedvoxel.training.config import InferenceConfig

SIZES = [
    ((40, 33, 25), (16, 16, 16)),
    ((16, 16, 16), (16, 16, 16)),
    ((10, 40, 7), (16, 24, 12)),
    ((9, 9, 9), (16, 8, 8)),
]


@dataclass
class Stand:
    """A network whose output depends on where in its window a voxel lies, as that of a padded network does."""

    classes: int = 3
    largest_batch: int | None = None
    name: str = "stand-in"
    batches: list[int] = field(default_factory=list)
    change: Callable[[Batch], Batch] | None = None

    def logits(self, batch: Batch) -> Batch:
        self.batches.append(len(batch))
        found = network(batch, self.classes)
        return found if self.change is None else self.change(found)


def network(batch: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
    ramp = np.indices(batch.shape[2:]).sum(axis=0, dtype=np.float32) / 40
    return np.concatenate([np.sin((code + 1) * batch + code * ramp) for code in range(classes)], axis=1)


def image_of(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(1, *shape)).astype(np.float32)


def window(runtime: Stand, size: tuple[int, ...], limit_mb: int = 8192, batch: int = 1) -> SlidingWindow:
    config = InferenceConfig(roi_size=size, overlap=0.25, batch_size=batch)
    return SlidingWindow(runtime, runtime.classes, config, MemoryBound(limit_mb))


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.6])
@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_windows_are_those_of_monai(shape: tuple[int, ...], size: tuple[int, ...], overlap: float) -> None:
    plan = plan_windows(shape, size, overlap)
    padded = tuple(max(pair) for pair in zip(shape, size, strict=True))
    steps = [
        int(window) if window == whole else max(int(window * (1 - overlap)), 1)
        for whole, window in zip(padded, size, strict=True)
    ]
    assert [plan.at(corner) for corner in plan.corners()] == dense_patch_slices(padded, size, steps)
    assert plan.count == len(list(plan.corners())) and plan.shape == padded


@pytest.mark.parametrize("size", [(16, 16, 16), (96, 96, 64), (8, 9, 4)])
def test_weights_are_those_of_monai(size: tuple[int, ...]) -> None:
    theirs = compute_importance_map(size, mode="gaussian", sigma_scale=0.125).numpy()
    np.testing.assert_allclose(weights_of(size), theirs, rtol=2e-6)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_probabilities_are_those_of_monai(shape: tuple[int, ...], size: tuple[int, ...], batch: int) -> None:
    image, runtime = image_of(shape), Stand()
    ours = window(runtime, size, batch=batch).probabilities(image)
    theirs = sliding_window_inference(
        torch.from_numpy(image)[None],
        size,
        batch,
        lambda part: torch.from_numpy(network(part.numpy(), 3)),
        overlap=0.25,
        mode="gaussian",
    )
    np.testing.assert_allclose(ours, torch.softmax(theirs, 1)[0].numpy(), atol=2e-6)
    assert ours.dtype == np.float32 and max(runtime.batches) <= batch


def test_a_model_of_one_window_at_a_time_gets_no_more() -> None:
    runtime = Stand(largest_batch=1)
    window(runtime, (16, 16, 16), batch=8).probabilities(image_of((40, 40, 40)))
    assert set(runtime.batches) == {1}


def test_a_result_that_passes_the_bound_is_refused_before_it_is_asked_for() -> None:
    runtime = Stand(classes=8)
    limit_mb = resident_bytes() // MIB + 40
    with pytest.raises(PredictionError, match=r"MiB, and .* are allowed; raise --memory-mb") as caught:
        window(runtime, (16, 16, 16), limit_mb).probabilities(image_of((128, 128, 128)))
    assert caught.value.reason == "too_large_for_memory" and runtime.batches == [1]


def test_progress_counts_windows() -> None:
    told: list[tuple[int, int]] = []
    window(Stand(), (16, 16, 16), batch=3).probabilities(image_of((40, 33, 25)), lambda *seen: told.append(seen))
    assert told[-1][0] == told[-1][1] == plan_windows((40, 33, 25), (16, 16, 16), 0.25).count
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def nan_somewhere(logits: Batch) -> Batch:
    logits[0, 0, 1, 2, 3] = np.nan
    return logits


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (nan_somewhere, "not_finite"),
        (lambda logits: logits * np.float32(np.inf), "not_finite"),
        (lambda logits: logits[:, :2], "unusable_model"),
        (lambda logits: logits[..., 1:], "unusable_model"),
        (lambda logits: logits[0], "unusable_model"),
    ],
)
def test_an_output_that_is_no_good_is_refused(change: Callable[[Batch], Batch], reason: str) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(PredictionError) as caught:
        window(Stand(change=change), (16, 16, 16)).probabilities(image_of((20, 16, 16)))
    assert caught.value.reason == reason
