"""The settings of a job that change what travels: each is tried beside the job as it is."""

from dataclasses import dataclass
from typing import Any

from fedvoxel.federation.rounds_config import RoundsConfig

STEPPED: dict[str, Any] = {"name": "stepped", "step": 1.0, "levels": 3}

CODECS: dict[str, dict[str, Any] | None] = {
    "float32": None,
    "fp16": {"name": "fp16"},
    "int8": {"name": "int8"},
    "stepped 1": STEPPED,
    "topk 5 %, signs": {"name": "topk", "fraction": 0.05, "values": "sign"},
}

_FIXED_WIDTH = ("float32", "fp16", "int8")

START_WITH = "stepped 1, both ways"
"""The setting among those with a codec that docs/compression.md says to start with."""


@dataclass(frozen=True)
class OtherSetting:
    """Is another setting.

    Attributes:
        words: What it is, for people.
        values: Value by dotted key of the job.
    """

    words: str
    values: dict[str, Any]


def other_settings(rounds: RoundsConfig, private: bool = False) -> tuple[OtherSetting, ...]:
    """Returns the settings to try; some may be the job's own already, or not go with the rest of it.

    Args:
        rounds: The job's rounds.
        private: Whether it has a privacy section. What entropy coding saves is foreseen for updates without noise, so
            that only codecs of a fixed width are tried then.
    """
    codecs = {name: codec for name, codec in CODECS.items() if not private or name in _FIXED_WIDTH}
    up = "int8" if private else "stepped 1"
    unguarded = rounds.compression.model_dump(mode="json") | {"guard_dice": None}
    without = {"rounds.evaluate": False, "rounds.patience": None, "rounds.compression": unguarded}
    return (
        *(OtherSetting(f"{name}, both ways", _compression(rounds, codec, codec)) for name, codec in codecs.items()),
        OtherSetting(f"{up}, up only", _compression(rounds, CODECS[up], None)),
        OtherSetting("half the rounds", {"rounds.num_rounds": max(1, rounds.num_rounds // 2)}),
        OtherSetting("no scores", without),
        OtherSetting("half of the sites a round", {"rounds.selection": {"name": "random", "fraction": 0.5}}),
        OtherSetting("no contribution", {"rounds.contribution": None}),
        OtherSetting("no correction", {"rounds.correction": None}),
    )


def _compression(
    rounds: RoundsConfig, up: dict[str, Any] | None, down: dict[str, Any] | None
) -> dict[str, dict[str, Any]]:
    guard = rounds.compression.guard_dice
    kept = {} if guard is None else {"guard_dice": guard}
    return {"rounds.compression": {"up": up, "down": down, **kept}}
