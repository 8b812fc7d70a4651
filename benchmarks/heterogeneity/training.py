"""Trains and scores one model; in a module of its own, since a spawned process imports what it is to call by name."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.arithmetic import has_bfloat16
from benchmarks.heterogeneity.plan import Run
from benchmarks.parts import Values
from fedvoxel.evaluation.experiment import SiteCases, load_site_cases, train_together
from fedvoxel.evaluation.simulation import simulate
from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.updates.scores import CaseScore
from fedvoxel.volumes.site import ComputeConfig

ONE_THREAD = ComputeConfig(threads=1, device="cpu")


def measure(run: Run, files: Mapping[str, Path]) -> Values:
    """Trains one model and returns its scores of every hospital's unseen cases; of a local one, its own alone."""
    task, _ = run.job()
    chosen = {run.site: files[run.site]} if run.site else files
    cases = {site: load_site_cases(file, task) for site, file in chosen.items()}
    kind = {"bfloat16": has_bfloat16()}
    if run.kind == "strategy":
        return kind | _federated(run, cases)
    return kind | _alone(run, cases, _longer(run, files, cases))


def _federated(run: Run, cases: Mapping[str, SiteCases]) -> Values:
    task, rounds = run.job()
    found = simulate(task, rounds, cases, ONE_THREAD)
    return {
        "dice": _rows(found.test | found.personal),
        "common": _rows(found.test),
        "curve": [mean_dice(record.validation) for record in found.rounds],
        "loss": [mean(record.loss.values()) for record in found.rounds],
        "bytes_up": sum(record.bytes_up for record in found.rounds),
        "bytes_down": sum(record.bytes_down for record in found.rounds),
        "seconds": found.seconds,
        "patients": {site: [len(one.training), len(one.validation), len(one.test)] for site, one in cases.items()},
    }


def _alone(run: Run, cases: Mapping[str, SiteCases], times: int) -> Values:
    task, rounds = run.job()
    training = task.training.model_copy(update={"epochs_per_round": times * task.training.epochs_per_round})
    task = task.model_copy(update={"training": training})
    started = time.monotonic()
    together = [case for one in cases.values() for case in one.training]
    trainer, model = train_together(task, together, run.site or "pooled", rounds.num_rounds, ONE_THREAD)
    scores = {site: trainer.evaluate(model, one.test) for site, one in cases.items()}
    return {"dice": _rows(scores), "epochs": times * rounds.num_rounds, "seconds": time.monotonic() - started}


def _longer(run: Run, files: Mapping[str, Path], cases: Mapping[str, SiteCases]) -> int:
    """Returns by how much longer than a federated round a hospital trains alone."""
    if run.method != "as many steps":
        return 1
    task, _ = run.job()
    everybody = sum(len(load_site_cases(file, task).training) for file in files.values())
    return math.ceil(everybody / len(cases[run.site].training))


def _rows(scores: Mapping[str, Sequence[CaseScore]]) -> dict[str, dict[str, dict[str, Any]]]:
    return {site: {score.case: dict(score.dice) for score in found} for site, found in scores.items()}
