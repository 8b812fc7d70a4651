"""What may leave a site, task by task: a known, short list. Everything else is refused.

An answer that is admitted is rebuilt from its checked values, so that nothing can travel along with it. Where a
cohort's policy promises differential privacy, the list is shorter still: noised differences that the site's ledger
knows, initial weights, which come from the job's seed alone, and what the policy and the budget have to say of a job.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeFloat, NonNegativeInt

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.calibration.answers import FirstAnswer, SecondAnswer, TooFewPatients
from fedvoxel.federation.cohort_statistics import BelowMinimum, SiteStatistics
from fedvoxel.federation.drift.answers import TooFewImages, WatchAnswer
from fedvoxel.federation.outcome import SiteScore, ValidationScore
from fedvoxel.federation.reader_study.answers import StudyAnswer, TooFewCases
from fedvoxel.privacy.guarantee import PrivacyUnit
from fedvoxel.records.names import ReleaseId, RunKey
from fedvoxel.updates.compression.payload import decode, payload_of
from fedvoxel.updates.secure.masked import masked_of
from fedvoxel.updates.secure.session import Announcement, Confirmation, Revealed, SealedShares
from fedvoxel.updates.update import Arrays, check_values

ArraysKind = Literal["none", "model", "difference"]
"""What an answer's arrays are: none at all, a whole model, or a difference to the model received."""


_Version = Annotated[str, Field(pattern=r"^(not installed|[0-9][0-9A-Za-z.+!-]{0,39})$")]


class _Nothing(FrozenModel):
    """Is the values of an answer that is arrays only."""


class _Trained(FrozenModel):
    run_key: RunKey | None = None
    round: NonNegativeInt | None = None
    case_count: NonNegativeInt
    loss: FiniteFloat | None = None
    seconds: NonNegativeFloat | None = None
    refused_cases: NonNegativeInt | None = None
    validation: ValidationScore | None = None


class _Released(FrozenModel):
    release_id: ReleaseId


class _Scored(FrozenModel):
    score: SiteScore | ValidationScore
    personal: SiteScore | None = None


class _Keys(FrozenModel):
    keys: Announcement


class _Shares(FrozenModel):
    shares: SealedShares


class _Confirmed(FrozenModel):
    confirmation: Confirmation


class _Unmasking(FrozenModel):
    revealed: Revealed


class _Described(FrozenModel):
    statistics: SiteStatistics | BelowMinimum


class _CalibratedFirst(FrozenModel):
    calibration: FirstAnswer | TooFewPatients


class _CalibratedSecond(FrozenModel):
    calibration: SecondAnswer | TooFewPatients


class _Read(FrozenModel):
    reading: StudyAnswer | TooFewCases


class _Watched(FrozenModel):
    watch: WatchAnswer | TooFewImages


class SiteReadiness(FrozenModel):
    """Is what a site replies that is ready for a job.

    Attributes:
        training_cases: Band of usable training cases, "none" at a site that only evaluates.
        refused_cases: Band of training cases that it cannot use.
        versions: Version of each package that matters.
    """

    training_cases: str = Field(max_length=40)
    refused_cases: str = Field(max_length=40)
    versions: dict[str, str]


class PrivateReadiness(FrozenModel):
    """Is what a site replies about a cohort whose patients it protects: nothing that depends on a patient.

    Attributes:
        protects: Whom the hospital's policy protects.
        rounds: How many of the job's rounds, and then of its spare draws, the budget covers; 0 also where the job does
            not protect that unit.
        versions: Version of each package that matters.
    """

    protects: PrivacyUnit
    rounds: int = Field(ge=0, le=10_000)
    versions: dict[Literal["fedvoxel", "nvflare", "torch", "monai", "numpy"], _Version]


_Rule = tuple[type[FrozenModel], frozenset[ArraysKind]]

_NO_ARRAYS: frozenset[ArraysKind] = frozenset({"none"})
_MODEL: _Rule = (_Nothing, frozenset({"model"}))
# Of secure aggregation: keys, sealed shares and signatures tell nothing of any case.
_SECURE: Mapping[str, _Rule] = {
    "secure_keys": (_Keys, _NO_ARRAYS),
    "secure_shares": (_Shares, _NO_ARRAYS),
    "secure_confirm": (_Confirmed, _NO_ARRAYS),
    "secure_reveal": (_Unmasking, _NO_ARRAYS),
}
_OPEN: Mapping[str, _Rule] = {
    "initialize": _MODEL,
    "train": (_Trained, frozenset({"none", "difference"})),
    "validate": (_Scored, frozenset({"none"})),
    "submit_model": _MODEL,
    "statistics": (_Described, frozenset({"none"})),
    "calibrate_first": (_CalibratedFirst, frozenset({"none"})),
    "calibrate_second": (_CalibratedSecond, frozenset({"none"})),
    "reader_study": (_Read, frozenset({"none"})),
    "drift_watch": (_Watched, frozenset({"none"})),
    "check": (SiteReadiness, frozenset({"none"})),
    **_SECURE,
}
_PRIVATE: Mapping[str, _Rule] = {
    "initialize": _MODEL,
    # The arrays come from the ledger alone, whatever the executor holds.
    "train": (_Released, frozenset({"none"})),
    "check": (PrivateReadiness, frozenset({"none"})),
    **_SECURE,
}

_MINIMA = {"reader_study": ("reading", "cases"), "drift_watch": ("watch", "images")}
"""Of tasks whose answers say which minimum they keep: the value that does, and of what it is."""


@dataclass(frozen=True)
class Answer:
    """Is a site's answer to one task.

    Attributes:
        kind: What the arrays are.
        arrays: Arrays by name; empty exactly where `kind` is "none".
        values: JSON values by name.
    """

    kind: ArraysKind
    arrays: Arrays
    values: Mapping[str, Any]


def admit(task: str, answer: Answer, private: bool) -> Answer:
    """Returns the answer that may leave, made anew from what the list knows.

    Args:
        task: The task that is answered.
        answer: What the executor answered.
        private: Whether the cohort's policy promises differential privacy.

    Raises:
        UpdateError: The list has no such task, or the answer holds anything that the list does not name for it.
    """
    rules = _PRIVATE if private else _OPEN
    if task not in rules:
        promise = "a cohort under differential privacy answers" if private else "this site answers"
        raise UpdateError(f"task {task!r} may not be answered: {promise} {', '.join(rules)}")
    model, kinds = rules[task]
    if answer.kind not in kinds or (answer.kind == "none") != (not answer.arrays):
        came = f"{answer.kind} with {len(answer.arrays)} arrays"
        raise UpdateError(f"the answer to {task} should hold {' or '.join(sorted(kinds))}, got {came}")
    _check_arrays(answer)
    try:
        values = parse_config(model, dict(answer.values), f"the answer to {task}")
    except ConfigError:
        # What came may be anything, a patient's name too, so the reason names keys only.
        known = ", ".join(model.model_fields) or "no values"
        raise UpdateError(
            f"the answer to {task} holds values that may not leave: expected {known}, "
            f"got {', '.join(sorted(str(key)[:40] for key in answer.values)) or 'none'}"
        ) from None
    return Answer(answer.kind, dict(answer.arrays), values.model_dump(mode="json", exclude_unset=True))


def check_in_sums(task: str, answer: Answer) -> None:
    """Checks that nothing of one site alone leaves, where the hospital lets its updates leave in sums only.

    Raises:
        UpdateError: An update is not masked, or the site's own model is asked for.
    """
    masked = answer.kind == "difference" and masked_of(answer.arrays) is not None
    told = set(answer.values) <= {"case_count", "validation", "run_key", "round"}
    if task == "submit_model" or (task == "train" and not (masked and told and answer.values["case_count"] == 1)):
        raise UpdateError(
            "this hospital's policy lets updates leave masked only, as parts of a sum: give the job "
            "rounds.secure_aggregation, and do not ask for the site's own model"
        )


def check_minimum(task: str, answer: Answer, minimum: int) -> None:
    """Checks that counts of a reader study or a drift watch keep the minimum that the hospital's policy has now.

    Raises:
        UpdateError: They were made with another.
    """
    value, of = _MINIMA[task]
    if answer.values[value].get(f"minimum_{of}") != minimum:
        raise UpdateError(f"the answer to {task} was not made with the minimum of {of} in this hospital's policy")


def check_difference(arrays: Arrays) -> None:
    """Checks a difference, or the payload that stands for one.

    Raises:
        UpdateError: Values are not finite or absurd, or it is no payload.
    """
    payload = payload_of(arrays)
    if payload is None:
        check_values(arrays)
    else:
        decode(payload)


def _check_arrays(answer: Answer) -> None:
    """Checks a model, a difference, or what stands for one: a payload, or a masked message."""
    if answer.kind != "difference":
        check_values(answer.arrays)
    elif masked_of(answer.arrays) is None:
        check_difference(answer.arrays)
