"""Trains and scores one model; in a module of its own, since a spawned process imports what it is to call by name."""

from collections.abc import Mapping
from pathlib import Path
from statistics import mean

import torch

from benchmarks.dp_curve.federation import Job, federate, hospitals, score
from benchmarks.dp_curve.plan import Run, Start
from benchmarks.parts import Values
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import load_weights, save_weights
from fedvoxel.volumes.site import SiteConfig


def train(what: Run | Start, data: Path, work: Path) -> Values:
    """Trains one model, keeps it where others begin with it, and returns its scores."""
    torch.set_num_threads(1)
    sites, job = hospitals(data, work / "tables" / what.name), what.job()
    model = federate(job, sites, _start(what, work))
    if isinstance(what, Start):
        save_weights(_model_file(what, work), model)
    # The public job's own cohort is its training cases; what counts is the protected cohort's test.
    tested = Run(None, "", what.seed).job() if isinstance(what, Start) else job
    return _scores(_with_network(tested, job), sites, model)


def _start(what: Run | Start, work: Path) -> Arrays | None:
    start = what.start if isinstance(what, Run) else None
    return load_weights(_model_file(start, work)) if start else None


def _model_file(start: Start, work: Path) -> Path:
    return work / f"{start.name}.npz"


def _with_network(tested: Job, job: Job) -> Job:
    """Returns `tested` with the network of `job`."""
    training = tested.args.training.model_copy(update={"network": job.args.training.network, "trainable": None})
    return Job(tested.args.model_copy(update={"training": training}), tested.rounds)


def _scores(job: Job, sites: Mapping[str, SiteConfig], model: Arrays) -> Values:
    rows = {
        site: [mean(value or 0.0 for value in one.dice.values()) for one in scored]
        for site, scored in score(job, sites, model).items()
    }
    return {"dice": mean(value for values in rows.values() for value in values), "by_site": rows}
