"""Numbers that sites tell: statistics of cohorts, calibration, reader studies, drift watches, scores, progress."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fedvoxel.errors import CohortError, UpdateError
from fedvoxel.federation.calibration.answers import FirstAnswer, SecondAnswer, parse_first, parse_second
from fedvoxel.federation.cohort_statistics import CohortSummary, merge_statistics, parse_site_statistics
from fedvoxel.federation.drift.answers import WatchAnswer, check_fits
from fedvoxel.federation.drift.answers import parse_answer as parse_watch
from fedvoxel.federation.drift.result import make_result
from fedvoxel.federation.reader_study.answers import parse_answer
from fedvoxel.flare.messages import one_line
from fedvoxel.ops.progress import parse_progress, parse_step
from tests.federation.drift.test_answers import answer_values as watch_values
from tests.federation.drift.test_answers import question
from tests.federation.reader_study.test_answers import answer_values
from tests.federation.test_cohort_statistics import statistics
from tests.fuzz.mutation import mutated_value, plain
from tests.fuzz.schema import from_model
from tests.fuzz.target import Target

_PROGRESS = {
    "round": 1,
    "rounds_planned": 3,
    "phase": "training",
    "started": 1.0,
    "round_started": 2.0,
    "round_seconds": [3.0],
    "sites": {"hospital-a": {"state": "missing", "reason": "no reply"}},
    "validation": [{"round": 0, "mean_dice": 0.5, "sites": {"hospital-a": 0.5}}],
}


def _values(*origins: Any) -> st.SearchStrategy[Any]:
    return mutated_value(origins).map(plain)


def _statistics(values: Any, folder: Path) -> None:
    """What was accepted has to merge with an honest hospital's, and be written."""
    read = parse_site_statistics(values, "hospital-b")
    summary = merge_statistics({"hospital-a": statistics(), "hospital-b": values})
    json.dumps(CohortSummary.model_validate(summary).model_dump(mode="json"), allow_nan=False).encode()
    read.model_dump_json()


def _reader_study(values: Any, folder: Path) -> None:
    parse_answer(values, "hospital-b").model_dump_json()


def _drift_watch(values: Any, folder: Path) -> None:
    """What was accepted has to come to a verdict, and be written."""
    read = parse_watch(values, "hospital-b")
    if isinstance(read, WatchAnswer):
        check_fits(read, question())
    make_result(question(), {"hospital-b": read}, {}).model_dump_json()


def _calibration(read: Callable[[Any, str], Any]) -> Callable[[Any, Path], None]:
    return lambda values, folder: read(values, "hospital-b").model_dump_json() and None


def _progress(values: Any, folder: Path) -> None:
    found = parse_progress(values)
    if found is not None:
        found.seconds_left(10.0)
    parse_step(values)
    with np.errstate(all="raise"):
        one_line(str(values)).encode()


TARGETS = (
    Target("statistics", "messages", _values(statistics()), _statistics, (CohortError,)),
    Target("reader_study", "messages", _values(answer_values()), _reader_study, (UpdateError,)),
    Target("drift_watch", "messages", _values(watch_values()), _drift_watch, (UpdateError,)),
    Target("calibration_first", "messages", from_model(FirstAnswer), _calibration(parse_first), (UpdateError,)),
    Target("calibration_second", "messages", from_model(SecondAnswer), _calibration(parse_second), (UpdateError,)),
    Target("progress", "messages", _values(_PROGRESS), _progress),
)
