"""Events: what an accountant may be told, and that merging leaves none out."""

import dp_accounting
import pytest
from pydantic import ValidationError

from fedvoxel.privacy.accounting import to_dp_event
from fedvoxel.privacy.events import MAX_COUNT, GaussianEvent


def _event(noise: float, probability: float, count: int) -> GaussianEvent:
    return GaussianEvent(noise_multiplier=noise, sampling_probability=probability, count=count)


def test_equal_parameters_are_merged_and_every_step_is_kept() -> None:
    events = [_event(2.0, 0.1, 3), _event(1.0, 1.0, 1), _event(2.0, 0.1, 4), _event(2.0, 0.2, 1)]
    composed = to_dp_event(events)
    assert [(part.event, part.count) for part in composed.events] == [
        (dp_accounting.PoissonSampledDpEvent(0.1, dp_accounting.GaussianDpEvent(2.0)), 7),
        (dp_accounting.GaussianDpEvent(1.0), 1),
        (dp_accounting.PoissonSampledDpEvent(0.2, dp_accounting.GaussianDpEvent(2.0)), 1),
    ]
    assert sum(part.count for part in composed.events) == sum(event.count for event in events)


def test_nothing_released_costs_nothing() -> None:
    assert to_dp_event([]) == dp_accounting.NoOpDpEvent()


@pytest.mark.parametrize(
    ("noise", "probability", "count"),
    [
        (-1.0, 0.5, 1),
        (1e-300, 0.5, 1),
        (0.009, 1.0, 1),
        (float("nan"), 0.5, 1),
        (float("inf"), 0.5, 1),
        (1.0, 0.0, 1),
        (1.0, 1.1, 1),
        (1.0, 0.5, 0),
        (1.0, 0.5, MAX_COUNT + 1),
    ],
)
def test_an_impossible_event_is_refused(noise: float, probability: float, count: int) -> None:
    with pytest.raises(ValidationError):
        _event(noise, probability, count)
