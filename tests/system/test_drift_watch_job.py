"""Hospitals tell what a model in use has met, over real processes, and the one whose images changed is named."""

import json
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.config import load_json_config
from fedvoxel.export.package import Package
from fedvoxel.federation.drift.result import RESULT_FILE, DriftWatchResult
from fedvoxel.flare.drift_watch_site import TOLD_FILE
from fedvoxel.privacy.policy import DriftWatches, NoBudget, grant
from fedvoxel.records.chain import Chain
from fedvoxel.volumes.site import SITE_FILE
from tests.cli.test_drift import package
from tests.evaluation.drift.test_watch import results
from tests.evaluation.inference.command import root_file

from .conftest import ROOT, SITES, SystemUnderTest

MET: dict[str, tuple[int, float]] = {SITES[0]: (60, 1.0), SITES[1]: (60, 1.8), SITES[2]: (12, 1.0), SITES[3]: (60, 1.0)}
"""How many images, and how much farther away than the calibration's. The last hospital lets nothing of it leave."""


def declare(kit: Path, opened: Package, site: str) -> None:
    """Puts results of a model in use into a hospital's kit, and decides what may leave of them."""
    count, factor = MET[site]
    results(kit / "local" / "results", count, factor, model={"package_sha256": opened.sha256})
    path = kit / "local" / SITE_FILE
    watches = {opened.description.name: {"folder": "results", "cohort": "hippocampus"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"drift_watches": watches}))
    allowed = None if site == SITES[3] else DriftWatches()
    grant(kit / "local", "hippocampus", NoBudget(drift_watches=allowed))


@pytest.mark.slow
def test_the_hospital_whose_images_changed_is_named_and_told_of_once(
    system: SystemUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = package(tmp_path)
    for site in SITES:
        declare(system.kit(site), opened, site)
    made = ["job", "watch", str(ROOT / "jobs" / "drift_watch"), str(opened.path), "--root", str(root_file(tmp_path))]
    assert main([*made, "--out", str(tmp_path / "job")]) == 0
    capsys.readouterr()
    assert main(["job", "check", str(tmp_path / "job"), "--site-kit", str(system.kit(SITES[0])), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["site_kits"]
    assert '"images":60' in verdict["reasons"][0]
    found = _looked(system, tmp_path)
    assert found.drifting == (SITES[1],) and set(found.told) == set(SITES[:2])
    assert "below minimum" in found.absent[SITES[2]] and "lets nothing of a drift watch" in found.absent[SITES[3]]
    for site in SITES:
        told = system.kit(site) / "state" / "drift_watches" / opened.sha256 / TOLD_FILE
        assert len(Chain(told).read() if told.is_file() else []) == (site in SITES[:2])
    kept = system.kit(SITES[0]).parent  # every kit lies beside the server's
    assert list(kept.glob(f"*/state/drift_watches/{opened.description.name}.json"))
    again = _looked(system, tmp_path)
    assert again.verdict == "nothing told" and set(again.absent) == set(SITES)


def _looked(system: SystemUnderTest, folder: Path) -> DriftWatchResult:
    """Runs the job, holds the command's exit code against the verdict, and returns the result."""
    job_id = system.submit(folder / "job")
    system.wait(job_id)
    file = system.download(job_id) / RESULT_FILE
    found = load_json_config(DriftWatchResult, file, "the result")
    assert "study-" not in file.read_text()
    assert main(["results", str(file.parent.parent)]) == (28 if found.verdict == "drift" else 0)
    return found
