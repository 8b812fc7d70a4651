"""What is run: each split's job, changed as each method says, once for every seed.

Another algorithm is one more entry of `STRATEGIES`: the job's own keys carry everything else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from benchmarks import ROOT
from benchmarks.heterogeneity.splits import FEWEST_TESTED, GROUPS, SHARES, SPLITS
from fedvoxel.errors import ConfigError
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.flare.job_args import FedAvgArgs, SiteArgs
from fedvoxel.flare.job_kinds import understand, variant
from fedvoxel.governance.job_folder import read_job_folder
from fedvoxel.training.setup import TrainingTask

Changes = Mapping[str, Any]
"""Values by dotted key of the job."""

_AFFINE = {"training.network.arguments.norm": ["instance", {"affine": True}]}

STRATEGIES: Mapping[str, Changes] = {
    "FedAvg": {},
    "FedProx": {"training.proximal_mu": 0.01},
    "SCAFFOLD": {"rounds.correction": {"name": "scaffold"}},
    "FedDyn": {"rounds.correction": {"name": "feddyn", "alpha": 0.01}},
    "FedAvgM": {"rounds.server_optimizer": {"name": "momentum", "learning_rate": 0.5, "beta": 0.5}},
    "FedAdam": {"rounds.server_optimizer": {"name": "adam", "learning_rate": 0.01}},
    "FedYogi": {"rounds.server_optimizer": {"name": "yogi", "learning_rate": 0.01}},
    "FedBN": _AFFINE | {"training.site_local": ["*.adn.N.*"]},
    "Ditto": {"training.personal": {"name": "ditto", "strength": 0.1}},
    "fine-tuned": {"training.personal": {"name": "fine_tuned", "steps": 432, "learning_rate": 0.003, "share": 0.75}},
    "median": {"rounds.aggregation": {"name": "median"}, "rounds.min_sites": 3},
    "geometric median": {"rounds.aggregation": {"name": "geometric_median"}, "rounds.min_sites": 3},
}
"""Changes of the job by the name of the strategy; of Ditto and of fine-tuning, the personal models are scored."""

ESSENTIAL = ("FedAvg", "FedProx", "SCAFFOLD", "FedBN", "Ditto", "fine-tuned", "median")
"""What a table cannot do without."""

_EVERYWHERE: Changes = {"training.cpu_bfloat16": True}
"""Training takes a third of the time; what it costs is one of the levers."""

LEVERS: Mapping[str, Changes] = {
    "FedAvg in float32": {"training.cpu_bfloat16": False},
    "FedAvg, 6 rounds of 2 epochs": {"rounds.num_rounds": 6, "training.epochs_per_round": 2},
    "FedAvg, 24 rounds": {"rounds.num_rounds": 24},
    "FedAvg, moments start anew each round": {"training.optimizer.keep_state": False},
    "FedAvg, weights of a round averaged": {"training.average_decay": 0.9},
    "FedAvg, gamma 0.3 and rotations of 10 degrees": {
        "training.augmentation.gamma": 0.3,
        "training.augmentation.rotation_degrees": 10,
    },
    "Ditto, 144 personal steps a round": {
        "training.personal": {"name": "ditto", "strength": 0.1, "steps_per_round": 144}
    },
    "Ditto, strength 0.01, 144 personal steps a round": {
        "training.personal": {"name": "ditto", "strength": 0.01, "steps_per_round": 144}
    },
    "Ditto, strength 0.01": {"training.personal": {"name": "ditto", "strength": 0.01}},
    "Ditto, strength 1": {"training.personal": {"name": "ditto", "strength": 1.0}},
}
"""What an expert would try next; each changes one thing."""

POOLED: Mapping[str, Changes] = {
    "Muon 0.003": {"training.optimizer.learning_rate": 0.003},
    "Muon 0.006": {"training.optimizer.learning_rate": 0.006},
    "AdamW 0.002": {
        "training.optimizer": {"name": "AdamW", "learning_rate": 0.002, "arguments": {"weight_decay": 1e-4}}
    },
}
"""Optimisers that pooled training may choose from, as in benchmarks.hippocampus; the best counts."""

LOCAL = ("as many epochs", "as many steps")
"""How long a hospital trains alone: as many epochs as the federation, or as many steps as everybody's cases give."""


@dataclass(frozen=True)
class Run:
    """Is one training run.

    Attributes:
        kind: "strategy", "pooled" or "local".
        method: A key of `STRATEGIES` or `LEVERS`, of `POOLED`, or one of `LOCAL`.
        site: The hospital of a local run.
    """

    split: str
    kind: str
    method: str
    seed: int
    site: str = ""

    @property
    def name(self) -> str:
        """Names the part's file."""
        words = (self.split, self.kind, self.method, self.site, str(self.seed))
        return "_".join(word.replace(", ", "-").replace(" ", "-") for word in words if word)

    def job(self) -> tuple[TrainingTask, RoundsConfig]:
        """Returns what the sites and the server are told.

        Raises:
            ConfigError: The method is unknown.
        """
        known = {**STRATEGIES, **LEVERS} if self.kind == "strategy" else {**POOLED, **{name: {} for name in LOCAL}}
        if self.method not in known:
            raise ConfigError(f"expected one of the methods {', '.join(known)}, got {self.method!r}")
        changes = {**_EVERYWHERE, **known[self.method], "training.seed": self.seed}
        return _job(SPLITS[self.split], changes)


def planned(split: str, seeds: Sequence[int], methods: Sequence[str], sites: Sequence[str]) -> list[Run]:
    """Returns a split's runs; those to compare with come first.

    The split that supports no claim has the strategies alone.
    """
    if split == "geometry":
        return [Run(split, "strategy", method, seed) for seed in seeds for method in methods if method in STRATEGIES]
    runs = []
    for seed in seeds:
        runs += [Run(split, "pooled", method, seed) for method in POOLED]
        runs += [Run(split, "local", method, seed, site) for site in sites for method in LOCAL]
        runs += [Run(split, "strategy", method, seed) for method in methods]
    return runs


def configuration(run: Run) -> dict[str, Any]:
    """Returns everything that a run depends on, as JSON values."""
    task, rounds = run.job()
    draw = {"shares": SHARES, "groups": GROUPS, "fewest_tested": FEWEST_TESTED} if run.split == "skewed" else None
    # Without defaults, so that a setting that jobs get one day does not make a finished run another.
    return {
        "run": asdict(run),
        "draw": draw,
        "task": task.model_dump(mode="json", exclude_defaults=True),
        "rounds": rounds.model_dump(mode="json", exclude_defaults=True),
    }


def _job(name: str, changes: Changes) -> tuple[TrainingTask, RoundsConfig]:
    content = variant(_read(name), changes)
    if not isinstance(content.client, SiteArgs) or not isinstance(content.server, FedAvgArgs):
        raise ConfigError(f"jobs/{name}: expected a job that trains, got {content.kind.controller}")
    args = content.client
    task = TrainingTask(cohort=args.cohort, classes=args.classes, plan=args.plan, training=args.training)
    return task, content.server.rounds


@cache
def _read(name: str) -> Any:
    return understand(read_job_folder(ROOT / "jobs" / name))
