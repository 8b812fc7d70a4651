"""Checks that jobs can be compared at all: the same cohorts, classes and plan, and tests on the same cases."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.comparison.trial import Trial
from fedvoxel.training.setup import TrainingTask

Tasks = Mapping[str, TrainingTask]
"""Tasks by the name of the job."""


def check_same_ground(tasks: Tasks) -> None:
    """Checks that all jobs train on the same cohort, for the same classes, prepared by the same plan.

    Raises:
        ConfigError: They do not, or one protects somebody and so sends no scores; the message says what differs.
    """
    for name, task in tasks.items():
        if task.privacy:
            raise ConfigError(f"{name} has a privacy section, so that it sends no scores to compare; leave it out")
    first, *others = tasks
    for name in others:
        differing = _differing(_ground(tasks[first]), _ground(tasks[name]))
        if differing:
            said = "; ".join(f"{key} is {one!r} in {first} and {other!r} in {name}" for key, one, other in differing)
            raise ConfigError(f"{first} and {name} cannot be compared: {said}")


def check_same_tests(trials: Sequence[Trial]) -> None:
    """Checks that all runs were scored by the same hospitals on the same cases.

    Raises:
        ConfigError: They were not; the message says which runs and hospitals differ.
    """
    first = trials[0]
    for trial in trials[1:]:
        for site in sorted({*first.counts, *trial.counts}):
            mine, theirs = trial.counts.get(site, 0), first.counts.get(site, 0)
            if mine != theirs:
                raise ConfigError(
                    f"{first.name} and {trial.name} cannot be compared: {site} scored {theirs} unseen cases in one and "
                    f"{mine} in the other; run both again with the cohort and its split as they are now"
                )
            names = [{score.case for score in one.cases[site]} for one in (first, trial) if site in one.cases]
            if len(names) == 2 and names[0] != names[1]:
                raise ConfigError(
                    f"{first.name} and {trial.name} cannot be compared: {site} has as many unseen cases in both, but "
                    "not the same ones; run both again with the cohort and its split as they are now"
                )


def _ground(task: TrainingTask) -> dict[str, Any]:
    return _flat({"cohort": task.cohort, "classes": list(task.classes), "plan": task.plan.model_dump(mode="json")})


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    keys = dict.fromkeys((*one, *other))
    return [(key, one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)]
