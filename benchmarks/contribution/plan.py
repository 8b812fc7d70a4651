"""What is run: hospitals drawn from the hippocampus set, unequal on purpose, or with a bad one among them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np

from benchmarks import ROOT
from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.experiment import SiteCases
from fedvoxel.evaluation.planted import FreeRider, FreeRiding, with_copies, with_wrong_labels
from fedvoxel.evaluation.simulation import Sends
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.flare.job_args import FedAvgArgs, SiteArgs
from fedvoxel.flare.job_kinds import understand, variant
from fedvoxel.governance.job_folder import read_job_folder
from fedvoxel.training.setup import TrainingTask
from fedvoxel.volumes.plan import PreparedCase

RECIPE: Mapping[str, Any] = {
    "plan.spacing_mm": [3.0, 3.0, 3.0],
    "training.sampling.size": [16, 24, 16],
    "training.inference.roi_size": [16, 24, 16],
    "training.augmentation": {"shift_voxels": 1},
    "training.network.arguments.channels": [8, 16, 32],
    "training.network.arguments.num_res_units": 0,
    "rounds.num_rounds": 8,
    "rounds.min_sites": 1,
}
"""hippocampus_small: the hippocampus job at voxels of 3 mm with a network of a fifth of the size, for eight rounds."""

EVALUATOR, EVALUATOR_CASES = "public", 16
"""The site with public data, which trains nothing and scores every model."""

UNEQUAL: Mapping[str, tuple[int, float]] = {
    "hospital-a": (20, 0.0),
    "hospital-b": (10, 0.0),
    "hospital-c": (10, 0.5),
    "hospital-d": (10, 1.0),
}
"""Training cases of each unequal hospital, and the share of them with wrong labels: a rank has to mean something."""

METHODS = ("shapley", "gtg_shapley")
"""What is run; the values of leaving one out and the agreement are in the records of the first as well."""

HOSPITALS, CASES = tuple(f"hospital-{letter}" for letter in "abcde"), 10
"""The hospitals of a trial, one of which is bad, and their training cases."""

FRESH = 31
TRIALS = (*range(1, 21), *range(FRESH, FRESH + 10))
"""Seeds of the trials; those from `FRESH` on were first run after every threshold of `credit.flags` was fixed."""

Kind = Literal["wrong labels", "copied cases", "free rider"]
KINDS: tuple[Kind, ...] = get_args(Kind)
RIDERS: tuple[FreeRiding, ...] = get_args(FreeRiding)


@dataclass(frozen=True)
class Exact:
    """Is the training of some of the unequal hospitals from scratch."""

    seed: int
    sites: tuple[str, ...]

    @property
    def name(self) -> str:
        """Names the part's file."""
        return f"exact_{self.seed}_{''.join(site[-1] for site in self.sites) or 'nobody'}"


@dataclass(frozen=True)
class Estimated:
    """Is one run of all unequal hospitals that asks by one method what each contributes."""

    seed: int
    method: str

    @property
    def name(self) -> str:
        """Names the part's file."""
        return f"estimated_{self.seed}_{self.method}"


@dataclass(frozen=True)
class Trial:
    """Is one run with a bad hospital among honest ones.

    Attributes:
        kind: What is wrong with it; "nobody" leaves all honest.
    """

    seed: int
    kind: str

    @property
    def name(self) -> str:
        """Names the part's file."""
        return f"trial_{self.seed}_{self.kind.replace(' ', '_')}"

    @property
    def bad(self) -> str:
        """Is the bad hospital."""
        return HOSPITALS[int(np.random.default_rng([self.seed, 1]).integers(len(HOSPITALS)))]

    @property
    def copied(self) -> str:
        """Is the honest hospital whose cases a copying one has."""
        return HOSPITALS[(HOSPITALS.index(self.bad) + 1) % len(HOSPITALS)]

    @property
    def rider(self) -> FreeRiding:
        """Is what a free rider sends."""
        return RIDERS[(self.seed // len(KINDS)) % len(RIDERS)]


Part = Exact | Estimated | Trial


def planned(seeds: Sequence[int], trials: Sequence[int], honest: Sequence[int]) -> list[Part]:
    """Returns all parts: trials, what the ranks are compared by, and runs without a bad hospital."""
    parts: list[Part] = [Trial(seed, KINDS[seed % len(KINDS)]) for seed in trials]
    for seed in seeds:
        parts += [Estimated(seed, method) for method in METHODS]
        parts += [Exact(seed, sites) for size in range(len(UNEQUAL) + 1) for sites in combinations(UNEQUAL, size)]
    return parts + [Trial(seed, "nobody") for seed in honest]


def job_of(part: Part) -> tuple[TrainingTask, RoundsConfig]:
    """Returns what the sites and the server are told.

    Raises:
        ConfigError: The recipe is no job that trains.
    """
    changes: dict[str, Any] = {**RECIPE, "training.seed": part.seed}
    if isinstance(part, Exact):
        changes |= {"rounds.contribution": None, "rounds.evaluate": False}
    else:
        method = part.method if isinstance(part, Estimated) else "leave_one_out"
        changes |= {"rounds.contribution": {"method": method, "evaluators": [EVALUATOR]}}
    content = variant(_job(), changes)
    if not isinstance(content.client, SiteArgs) or not isinstance(content.server, FedAvgArgs):
        raise ConfigError(f"expected a job that trains, got {content.kind.controller}")
    args = content.client
    task = TrainingTask(cohort=args.cohort, classes=args.classes, plan=args.plan, training=args.training)
    return task, content.server.rounds


def draw_hospitals(part: Part, pool: Sequence[PreparedCase]) -> dict[str, SiteCases]:
    """Returns the part's hospitals and the evaluator: other patients for every seed."""
    random = np.random.default_rng([part.seed, 2])
    left = [pool[index] for index in random.permutation(len(pool))]

    def take(count: int) -> tuple[PreparedCase, ...]:
        taken = tuple(left[:count])
        del left[:count]
        return taken

    evaluator = SiteCases((), (), take(EVALUATOR_CASES))
    if isinstance(part, Trial):
        sites = {site: SiteCases(take(CASES), ()) for site in HOSPITALS}
        sites |= _spoiled(part, sites)
    else:
        sites = {
            site: with_wrong_labels(SiteCases(take(count), ()), share, random)
            for site, (count, share) in UNEQUAL.items()
        }
        sites = {site: sites[site] for site in (part.sites if isinstance(part, Exact) else UNEQUAL)}
    return {**sites, EVALUATOR: evaluator}


def sent_by_riders(part: Part) -> dict[str, Sends]:
    """Returns the part's free rider, if it has one."""
    if isinstance(part, Trial) and part.kind == "free rider":
        return {part.bad: FreeRider(part.rider, np.random.default_rng([part.seed, 3]))}
    return {}


def configuration(part: Part) -> dict[str, Any]:
    """Returns everything that a part depends on, as JSON values."""
    task, rounds = job_of(part)
    return {
        "part": {"kind": type(part).__name__} | asdict(part),
        "drawn": [EVALUATOR_CASES, UNEQUAL, HOSPITALS, CASES],
        "task": task.model_dump(mode="json", exclude_defaults=True),
        "rounds": rounds.model_dump(mode="json", exclude_defaults=True),
    }


def _spoiled(trial: Trial, sites: Mapping[str, SiteCases]) -> dict[str, SiteCases]:
    if trial.kind == "wrong labels":
        return {trial.bad: with_wrong_labels(sites[trial.bad], 1.0, np.random.default_rng([trial.seed, 4]))}
    if trial.kind == "copied cases":
        return {trial.bad: with_copies(sites[trial.bad], sites[trial.copied])}
    return {}


@cache
def _job() -> Any:
    return understand(read_job_folder(ROOT / "jobs" / "hippocampus_contribution"))
