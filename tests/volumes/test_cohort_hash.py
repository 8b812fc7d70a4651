"""The hash of a cohort: another list, description or site makes another, and what cannot be read has none."""

import json
from pathlib import Path
from typing import Any

from fedvoxel.volumes.cohort_hash import cohort_hash
from fedvoxel.volumes.site import SITE_FILE

BIDS = {"layout": "bids", "root": "bids", "image": "T2w", "labels": {"organ": "seg"}}


def describe(local: Path, key: str = "0" * 64, rows: str = "a,1", **changes: Any) -> str | None:
    cohort = {"source": {"layout": "csv", "table": "main.csv"}, "classes": {"organ": 1}} | changes
    (local / "main.csv").write_text(f"case,patient\n{rows}\n")
    (local / SITE_FILE).write_text(json.dumps({"schema_version": 1, "pseudonym_key": key, "cohorts": {"main": cohort}}))
    return cohort_hash(local, "main")


def test_any_difference_makes_another_hash(tmp_path: Path) -> None:
    first = describe(tmp_path)
    others = (
        describe(tmp_path, rows="a,1\nb,2"),
        describe(tmp_path, classes={"organ": 2}),
        describe(tmp_path, key="1" * 64),
    )
    assert first == describe(tmp_path) and len({first, *others}) == 4 and None not in others


def test_other_layouts_have_one_too_and_an_unreadable_cohort_has_none(tmp_path: Path) -> None:
    made = [
        describe(tmp_path, source={"layout": "decathlon", "dataset_json": "dataset.json"}),
        describe(tmp_path, source=BIDS, classes={}),
        describe(tmp_path, source={"layout": "built", "folder": "built"}),
    ]
    assert len(set(made)) == 3 and None not in made
    assert cohort_hash(tmp_path, "unknown") is None
    (tmp_path / SITE_FILE).write_text("{")
    assert cohort_hash(tmp_path, "main") is None
