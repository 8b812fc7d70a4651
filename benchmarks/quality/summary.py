"""Figures of each seed: how well estimates go along with the truth, beside what simpler ones would do."""

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.parts import Values
from benchmarks.quality.measuring import TRIED, errors_of, estimated
from fedvoxel.evaluation.uncertainty.result_features import RESULT_FEATURES
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.limits import limits_of

Rows = Sequence[Values]
RESAMPLES = 1000


def figures(calibration: Calibration, found: Values, unlike: Rows, looked: Rows) -> Values:
    """Returns the figures of one seed."""
    rows = [estimated(row, calibration) for row in found["rows"]]
    limits = limits_of(calibration.distances)
    groups: Mapping[str, Callable[[Values], bool]] = {
        "all": lambda row: True,
        "clean": lambda row: row["kind"] == "clean",
        "clean_and_fitted": lambda row: row["kind"] in ("clean", *TRIED["fitted"]),
        "clean_and_unseen": lambda row: row["kind"] in ("clean", *TRIED["unseen"]),
        "accepted": lambda row: row["distance"] <= limits.refuse,
        "alike": lambda row: row["distance"] <= limits.warn,
    }
    return {
        "test_patients": len({row["case"] for row in rows}),
        "calibration_patients": calibration.patients,
        "spearman": {name: _correlations([row for row in rows if wanted(row)]) for name, wanted in groups.items()},
        "error": _errors(rows),
        "temperature": calibration.plan.temperature,
        "ece_before": errors_of(found["clean"], "before"),
        "ece_after": errors_of(found["clean"], "after"),
        "auroc_entropy": _mean(row["auroc_entropy"] for row in found["clean"]),
        "auroc_disagreement": _mean(row["auroc_disagreement"] for row in found["clean"]),
        "intervals": _intervals([row for row in rows if row["kind"] == "clean" and row["distance"] <= limits.warn]),
        "limits": {"warn": limits.warn, "refuse": limits.refuse},
        "unlike": _verdicts(unlike),
        "spoilt": _spoilt(rows, limits.warn, limits.refuse),
        "looked": {
            name: _mean(row[name] for row in looked)
            for name in ("near", "near_untrained", "near_by_chance", "alike", "near_gradients", "like_gradients")
        },
    }


def _correlations(rows: Rows) -> Values:
    """Returns Spearman's correlation of several estimates with the Dice, per structure, and an interval by patients."""
    if len(rows) < 10:
        return {}
    columns = {"expected_dice": "expected_dice", "agreement": "agreement"}
    said: Values = {"rows": len(rows), "estimate": _spearman([row["estimate"] for row in rows], rows)}
    for name, feature in columns.items():
        place = RESULT_FEATURES.index(feature)
        said[f"{name}_alone"] = _spearman([row["features"][place] for row in rows], rows)
    for structure in sorted({row["structure"] for row in rows}):
        own = [row for row in rows if row["structure"] == structure]
        said[structure] = _spearman([row["estimate"] for row in own], own)
    said["interval"] = _by_patient(rows)
    return said


def _spearman(values: Sequence[float], rows: Rows) -> float:
    return float(stats.spearmanr(values, [row["dice"] for row in rows]).statistic)


def _by_patient(rows: Rows) -> list[float]:
    """Returns the 95 % bootstrap interval of the correlation; whole patients are drawn."""
    random, by_patient = np.random.default_rng(1), {}
    for row in rows:
        by_patient.setdefault(row["case"], []).append((row["estimate"], row["dice"]))
    patients = list(by_patient.values())
    found = []
    for _ in range(RESAMPLES):
        drawn = np.array(
            [pair for place in random.integers(len(patients), size=len(patients)) for pair in patients[place]]
        )
        found.append(stats.spearmanr(drawn[:, 0], drawn[:, 1]).statistic)
    return [float(value) for value in np.nanquantile(found, (0.025, 0.975))]


def _errors(rows: Rows) -> Values:
    off = np.array([row["estimate"] - row["dice"] for row in rows])
    return {
        "mean": float(off.mean()),
        "absolute": float(np.abs(off).mean()),
        "root_mean_square": float((off**2).mean() ** 0.5),
    }


def _intervals(rows: Rows) -> Values:
    said = [row for row in rows if row["interval_ml"] is not None]
    if not said:
        return {"rows": 0}
    inside = [row["interval_ml"][0] <= row["true_ml"] <= row["interval_ml"][1] for row in said]
    widths = [row["interval_ml"][1] / row["interval_ml"][0] for row in said]
    return {"rows": len(said), "covered": mean(inside), "high_over_low": mean(widths)}


def _verdicts(rows: Rows) -> Values:
    groups = dict.fromkeys(row["group"] for row in rows)
    return {
        group: {
            "images": len(own := [row for row in rows if row["group"] == group]),
            **{verdict: sum(row["verdict"] == verdict for row in own) for verdict in ("alike", "unusual", "refused")},
            "least": min(row["distance"] for row in own),
            "most": max(row["distance"] for row in own),
        }
        for group in groups
    }


def _spoilt(rows: Rows, warn: float, refuse: float) -> Values:
    """Returns how many spoilt versions were flagged, by kind, and the Dice of those that were not."""
    said = {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        said[kind] = {
            "rows": len(own),
            "dice": mean(row["dice"] for row in own),
            "estimate": mean(row["estimate"] for row in own),
            "unusual": mean(warn < row["distance"] <= refuse for row in own),
            "refused": mean(row["distance"] > refuse for row in own),
        }
    return said


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None
