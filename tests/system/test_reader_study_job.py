"""Hospitals tell what their readers said, over real processes, and a package is released by it or is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from fedvoxel.config import load_json_config
from fedvoxel.errors import ReleaseGateError
from fedvoxel.export.package import Package
from fedvoxel.export.publishing import Publisher
from fedvoxel.export.reader_gate import ReaderStudyGate
from fedvoxel.export.releases import Releases
from fedvoxel.federation.reader_study.requirement import ReaderStudyRequirement
from fedvoxel.federation.reader_study.result import RESULT_FILE, ReaderStudyResult
from fedvoxel.flare.job_kinds import understand, variant
from fedvoxel.flare.reader_study_site import TOLD_FILE
from fedvoxel.governance.job_folder import read_job_folder, write_job_folder
from fedvoxel.privacy.policy import NoBudget, ReaderStudies, grant
from fedvoxel.records.chain import Chain
from fedvoxel.review.study import identity_of
from fedvoxel.volumes.site import SITE_FILE
from tests.export.package_sample import sample_package, sample_signer, sample_trust
from tests.export.throwaway_root import DAY, NOW
from tests.review.finished_sample import ACCEPT, CORRECT, REJECT, TOUCH, Cases, finished_study, same

from .conftest import SITES, SystemUnderTest

JOB = Path(__file__).resolve().parents[2] / "jobs" / "reader_study"
STUDY = "hippocampus-reading"
READ: dict[str, Cases] = {
    SITES[0]: [*same(ACCEPT, 22), *same(TOUCH, 6), None],
    SITES[1]: [*same(ACCEPT, 20), *same(TOUCH, 2), *same(CORRECT, 7), *same(REJECT, 1)],
    SITES[2]: same(ACCEPT, 12),
}
"""The last hospital reads, too, and lets nothing of it leave."""

ASKED: dict[str, Any] = {
    "schema_version": 1, "minimum_hospitals": 2, "minimum_cases": 50, "usable_at_least": 0.65, "rejected_at_most": 0.2
}  # fmt: skip


def declare(kit: Path, cases: Cases, package: Package, reader_studies: ReaderStudies | None) -> None:
    """Puts a finished study into a hospital's kit, and decides what may leave of it."""
    images = "images"
    about = {"package": package.sha256, "images": images, "reading": identity_of(package.sha256, images)}
    finished_study(kit / "local" / "reading", cases, **about)
    path = kit / "local" / SITE_FILE
    site = json.loads(path.read_text())
    path.write_text(json.dumps(site | {"reader_studies": {STUDY: {"folder": "reading", "cohort": "hippocampus"}}}))
    grant(kit / "local", "hippocampus", NoBudget(reader_studies=reader_studies))


@pytest.mark.slow
def test_hospitals_read_and_a_package_is_released_by_it(
    system: SystemUnderTest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = sample_package(tmp_path)
    for site in SITES:
        allowed = None if site == SITES[-1] else ReaderStudies()
        declare(system.kit(site), READ.get(site, same(ACCEPT, 30)), package, allowed)
    write_job_folder(variant(understand(read_job_folder(JOB)), {"package": package.sha256}).folder, tmp_path / "job")
    assert main(["job", "check", str(tmp_path / "job"), "--site-kit", str(system.kit(SITES[0])), "--json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["site_kits"]
    assert '"accepted":22' in verdict["reasons"][0]
    job_id = system.submit(tmp_path / "job")
    system.wait(job_id)
    file = system.download(job_id) / RESULT_FILE
    _check_result(load_json_config(ReaderStudyResult, file, "the result"), file)
    for site in SITES:
        told = system.kit(site) / "state" / "reader_studies" / STUDY / TOLD_FILE
        assert len(Chain(told).read() if told.is_file() else []) == (site != SITES[-1])
    assert main(["results", str(file.parent.parent)]) == 0
    assert f"{SITES[-1]} is not in it" in capsys.readouterr().out
    _check_gate(package, file, tmp_path)


def _check_result(found: ReaderStudyResult, file: Path) -> None:
    assert set(found.sites) == set(SITES[:2]) and set(found.absent) == set(SITES[2:])
    assert "too few cases" in found.absent[SITES[2]] and "lets nothing of a reader study" in found.absent[SITES[3]]
    assert tuple(found.sites[SITES[0]].verdicts.model_dump().values()) == (22, 6, 0, 0)
    assert tuple(found.sites[SITES[1]].verdicts.model_dump().values()) == (None, "few", 7, "few")
    assert found.sites[SITES[0]].listed is None
    assert found.pooled is not None and (found.pooled.cases, found.pooled.rejected.at_most) == (58, 4)
    assert not any(word in file.read_text() for word in ("Meier", "case-", "reader-1"))


def _check_gate(package: Package, file: Path, folder: Path) -> None:
    def release(**changes: Any) -> None:
        gate = ReaderStudyGate(file, ReaderStudyRequirement.model_validate(ASKED | changes))
        lead = Publisher(folder / "releases", sample_signer(), sample_trust(), folder / "lead.json", gate)
        lead.publish(package.path, "released", "read at two hospitals", NOW)

    with pytest.raises(ReleaseGateError, match="2 hospitals, required 3"):
        release(minimum_hospitals=3)
    release()
    (done,) = Releases(folder / "releases", sample_trust(), folder / "reader.json", NOW + DAY).all
    assert done.reader_study is not None and done.reader_study.seen.cases == 58
