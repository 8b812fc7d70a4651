"""`fedvoxel privacy audit` from a job's folder and a kit to the page, and what becomes of its figures in the report."""

import hashlib
import json
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.cli.main import main
from fedvoxel.evaluation.attacks import leak
from fedvoxel.evaluation.attacks.findings import load_audit
from fedvoxel.evaluation.attacks.inversion import Search
from fedvoxel.federation.channels import StartModel
from fedvoxel.privacy.guarantee import NEIGHBOURING, PUBLIC_DATA, Guarantee
from fedvoxel.privacy.noise import SecureNoise
from fedvoxel.updates.weights_file import to_bytes
from tests.finished_job import SITE, blob_task, finished_job, hospital_kit, initial_weights, send_round
from tests.private_section import PRIVACY

SECTION = PRIVACY | {"sampling_probability": 1.0, "steps_per_round": 2, "expected_batch": 6}


@pytest.fixture(autouse=True)
def _short_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leak, "Search", lambda: Search(steps=5))


def audit(job: Path, kit: Path, out: Path, *more: object) -> int:
    return main(["privacy", "audit", str(job), str(kit), "--out", str(out), *map(str, more)])


def names_nobody(text: str, kit: Path) -> bool:
    """Says whether a text holds no patient's name, pseudonym or file."""
    return not re.search(r"blob\d|image\d+\.nii|case-[0-9a-f]{6}|patient-[0-9a-f]{6}", text) and "cases.csv" not in text


def test_a_private_job_is_audited_from_the_bytes_that_were_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    task = blob_task(SECTION)
    job, kit, out = finished_job(tmp_path / "jobs", task), hospital_kit(tmp_path), tmp_path / "audit"
    random = np.random.default_rng(1)
    send_round(
        kit,
        SECTION,
        {name: random.normal(size=one.shape).astype(np.float32) for name, one in initial_weights(task).items()},
    )
    ledger = (kit / "state" / "privacy" / "blobs" / "ledger.jsonl").read_bytes()
    assert audit(job, kit, out) == 0
    shown = capsys.readouterr().out
    for words in (
        "AUROC of the loss",
        "unresolved",
        "epsilon proved",
        "Nothing refutes the claim",
        "Next:",
        "patient's scan",
    ):
        assert words in shown
    found = load_audit(out / "audit.json")
    assert found.site == SITE and found.membership and found.canaries and found.inversion
    assert found.inversion.protected and found.inversion.sent and "from its ledger" in found.inversion.sent_is
    assert found.canaries.releases == 6 and not found.failed
    assert found.membership.initial == found.membership.model, "the result is the untrained model"
    page = (out / "audit.html").read_text()
    assert "This page holds an image made from a patient" in page and "data:image/png;base64," in page
    assert "<script" not in page and 'src="http' not in page
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in out.iterdir())
    figures = page.split("data:image/png")[0] + page.split("data:image/png")[1].split('"', 1)[1]
    assert all(names_nobody(text, kit) for text in (shown, figures, (out / "audit.json").read_text()))
    assert (kit / "state" / "privacy" / "blobs" / "ledger.jsonl").read_bytes() == ledger, "looking is no release"


def test_a_job_without_a_mechanism_says_so_and_its_figures_come_into_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, kit, out = finished_job(tmp_path / "jobs", blob_task()), hospital_kit(tmp_path), tmp_path / "audit"
    assert audit(job, kit, out, "--json") == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["canaries"] is None and "No mechanism to audit" in found["skipped"][0]
    assert found["inversion"]["sent_is"].startswith("this hospital's update of round 0")
    assert main(["results", str(job), "--audit", str(out / "audit.json")]) == 0
    page = (job / "report" / "report.html").read_text()
    assert "<h2>Attacks</h2>" in page and "Inversion, as sent" in page and "stays at the hospital" in page
    assert "inversion.png" not in page and 'alt="A slice of one patient' not in page
    assert json.loads((job / "report" / "report.json").read_text())["audits"][0]["site"] == SITE


def test_too_much_leakage_has_its_own_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    whole = SecureNoise.discrete_gaussian
    monkeypatch.setattr(SecureNoise, "discrete_gaussian", lambda self, shape, sigma: whole(self, shape, sigma // 8))
    job, kit, out = finished_job(tmp_path / "jobs", blob_task(SECTION)), hospital_kit(tmp_path), tmp_path / "audit"
    assert audit(job, kit, out) == 14
    assert "FAILED: the canaries prove" in capsys.readouterr().out
    assert load_audit(out / "audit.json").failed and 'class="status failed"' in (out / "audit.html").read_text()
    assert main(["results", str(job), "--audit", str(out / "audit.json")]) == 0
    assert f"Privacy audit at {SITE}: FAILED" in (job / "report" / "report.html").read_text()


def test_an_outcome_that_promises_more_than_the_mechanism_gives_is_refuted(tmp_path: Path) -> None:
    promised = Guarantee(
        unit="patient",
        epsilon=0.01,
        delta=1e-3,
        neighbouring=NEIGHBOURING["patient"],
        adversary="sees every message",
        composition="3 rounds",
    )
    said = {"guarantee": promised, "privacy": promised.said()}
    job, kit = finished_job(tmp_path / "jobs", blob_task(SECTION), **said), hospital_kit(tmp_path)
    assert audit(job, kit, tmp_path / "audit") == 14
    found = load_audit(tmp_path / "audit" / "audit.json")
    assert found.canaries and found.canaries.epsilon_claimed == 0.01
    assert found.membership and found.membership.allowed_at_10_percent == pytest.approx(0.1, abs=0.003)


def test_the_model_of_an_earlier_run_has_to_be_the_right_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = blob_task()
    content = to_bytes(initial_weights(task))
    named = StartModel(run_key="public", sha256=hashlib.sha256(content).hexdigest(), privacy=PUBLIC_DATA)
    job, kit = finished_job(tmp_path / "jobs", task, start=named), hospital_kit(tmp_path)
    (tmp_path / "start.npz").write_bytes(content)
    (tmp_path / "other.npz").write_bytes(b"other")
    assert audit(job, kit, tmp_path / "no", "--start", tmp_path / "other.npz") == 6
    assert "not the one that the run began with" in capsys.readouterr().err
    assert audit(job, kit, tmp_path / "yes", "--start", tmp_path / "start.npz") == 0
    assert load_audit(tmp_path / "yes" / "audit.json").inversion
    (job / "workspace" / "global_model.npz").write_bytes(to_bytes({k: v + 1 for k, v in initial_weights(task).items()}))
    assert audit(job, kit, tmp_path / "unknown") == 0
    unknown = load_audit(tmp_path / "unknown" / "audit.json")
    assert unknown.inversion is None and "give it with --start" in " ".join(unknown.skipped)
    assert unknown.membership and unknown.membership.initial is None


def refused(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str]:
    code = main([str(word) for word in words])
    (line,) = capsys.readouterr().err.splitlines()
    return code, line


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job, kit = finished_job(tmp_path / "jobs", blob_task()), hospital_kit(tmp_path)
    used = tmp_path / "used"
    used.mkdir()
    (used / "letter.txt").write_text("mine")
    assert audit(tmp_path / "nothing", kit, tmp_path / "a") == 10
    assert audit(job, tmp_path / "nothing", tmp_path / "a") == 3
    capsys.readouterr()
    assert audit(job, kit, used) == 10
    assert "holds other files" in capsys.readouterr().err
    assert audit(job, kit, used / "letter.txt") == 10
    assert "cannot be written" in capsys.readouterr().err
    assert stat.S_IMODE(used.stat().st_mode) != 0o700, "another's folder is left as it was"
    assert audit(job, kit, tmp_path / "a") == 0
    found = json.loads((tmp_path / "a" / "audit.json").read_text())
    capsys.readouterr()
    for change, code in (({"run_key": "another"}, 3), ({"site": "hospital-z"}, 3), ({"schema_version": 9}, 25)):
        (tmp_path / "changed.json").write_text(json.dumps(found | change))
        assert refused(capsys, "results", job, "--audit", tmp_path / "changed.json")[0] == code
    twice = ["--audit", tmp_path / "a" / "audit.json"] * 2
    assert "expected one audit for each" in refused(capsys, "results", job, *twice)[1]
