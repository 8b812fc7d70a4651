"""`fedvoxel site`: says what is not in order before a kit starts, prepares a kit, and runs it."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedvoxel.cli.main import main
from fedvoxel.flare.kit_making import child_environment
from fedvoxel.governance.consortium import Consortium
from fedvoxel.governance.kit import open_kit
from fedvoxel.governance.kit_lock import is_running
from fedvoxel.governance.local_policy import OUTBOUND_FILTER
from fedvoxel.privacy.policy import PRIVACY_FILE, CohortBudget, DriftWatches, NoBudget, ReaderStudies, grant
from tests.blob_job import give_blobs
from tests.consortium_kits import small_consortium
from tests.review.finished_sample import ACCEPT, finished_study, same


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    """Kits that nobody runs, but for the server in one test."""
    return small_consortium(tmp_path_factory.mktemp("consortium"))


@pytest.fixture
def site(consortium: Consortium, tmp_path: Path) -> Path:
    """A copy of a hospital's kit that a test may spoil."""
    return Path(shutil.copytree(consortium.kit("hospital-a"), tmp_path / "hospital-a"))


def _check(kit: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main(["site", "check", str(kit), "--json"])
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert shown["ready"] == (code == 0)
    return code, shown


def _said(shown: dict[str, Any], level: str) -> list[str]:
    return [f"{finding['topic']}: {finding['message']}" for finding in shown["findings"] if finding["level"] == level]


def test_a_server_that_is_not_there_is_the_only_error(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = _check(site, capsys)
    assert code == 9
    assert [message.split(":")[0] for message in _said(shown, "error")] == ["server"]
    assert [message.split(":")[0] for message in _said(shown, "warning")] == ["data"]


def test_a_servers_kit_is_ready(consortium: Consortium, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = _check(consortium.server_kit, capsys)
    assert code == 0, shown
    assert shown["kind"] == "server"


def test_the_table_ends_with_one_line_on_stderr(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", "check", str(site)]) == 9
    said = capsys.readouterr()
    assert "hospital-a (site of small)" in said.out
    assert len(said.err.splitlines()) == 1


def test_neither_torch_nor_flare_is_needed_to_check(site: Path) -> None:
    script = (
        "import sys\nfrom fedvoxel.cli.main import main\nmain(['site', 'check', sys.argv[1]])\n"
        "print([name for name in ('torch', 'monai', 'nvflare', 'nibabel') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(site)], capture_output=True, text=True, env=child_environment(), check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_flares_sample_privacy_policy_is_refused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = {
        "scopes": [{"name": "public", "task_data_filters": [{"name": "BadModelDetector"}]}],
        "default_scope": "public",
    }
    (site / "local" / "privacy.json").write_text(json.dumps(sample))
    assert any("BadModelDetector" in message for message in _said(_check(site, capsys)[1], "error"))


def test_a_filter_that_does_not_exist_is_found_before_a_job(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scope = {
        "name": "fedvoxel",
        "task_result_filters": [{"path": "fedvoxel.flare.kit_filters.Nothing"}, OUTBOUND_FILTER],
    }
    (site / "local" / "privacy.json").write_text(json.dumps({"scopes": [scope], "default_scope": "fedvoxel"}))
    assert any("does not exist here" in message for message in _said(_check(site, capsys)[1], "error"))


def test_without_our_filter_the_kit_does_not_start(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scope = {"name": "fedvoxel", "task_data_filters": [], "task_result_filters": []}
    (site / "local" / "privacy.json").write_text(json.dumps({"scopes": [scope], "default_scope": "fedvoxel"}))
    assert any("outbound filter" in message for message in _said(_check(site, capsys)[1], "error"))
    assert main(["site", "start", str(site)]) == 9
    assert not is_running(open_kit(site))


def test_each_cohort_needs_a_decision_of_the_hospital(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    give_blobs(site)
    _, shown = _check(site, capsys)
    assert any("cohort blobs: no formal guarantee" in message for message in _said(shown, "ok"))
    assert _said(shown, "warning") == []
    (site / "local" / PRIVACY_FILE).write_text('{"schema_version": 1, "cohorts": {}}')
    assert any("no entry for cohort 'blobs'" in message for message in _said(_check(site, capsys)[1], "error"))
    (site / "local" / PRIVACY_FILE).unlink()
    assert any("privacy policy is missing" in message for message in _said(_check(site, capsys)[1], "error"))
    (site / "local" / "fedvoxel_site.json").write_text("{")
    assert any("privacy policy is missing" in message for message in _said(_check(site, capsys)[1], "error"))


def test_a_reader_study_that_a_job_would_get_nothing_of_is_a_warning(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give_blobs(site)
    path = site / "local" / "fedvoxel_site.json"
    readings = {"spring": {"folder": "reading", "cohort": "blobs"}, "lost": {"folder": "reading", "cohort": "nobody"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reader_studies": readings}))

    def said(level: str) -> list[str]:
        return [one for one in _said(_check(site, capsys)[1], level) if one.startswith("readings: ")]

    assert any(
        "lost: a job that asks for it is told nothing: this site has no cohort" in one for one in said("warning")
    )
    assert any("spring: a job that asks for it is told nothing: the study is not" in one for one in said("warning"))
    finished_study(site / "local" / "reading", [*same(ACCEPT, 20), None])
    assert any("lets nothing of a reader study of cohort" in one for one in said("warning")), said("warning")
    grant(site / "local", "blobs", NoBudget(reader_studies=ReaderStudies(minimum_cases=7)))
    (good,) = said("ok")
    assert good.startswith("readings: reader study spring: 20 of 21 cases of package abababababab are read"), good
    assert good.endswith("counts of fewer than 7 cases are hidden")


def test_a_drift_watch_that_a_job_would_get_nothing_of_is_a_warning(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give_blobs(site)
    path = site / "local" / "fedvoxel_site.json"
    watches = {"blobs": {"folder": "results", "cohort": "blobs"}, "lost": {"folder": "results", "cohort": "nobody"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"drift_watches": watches}))

    def said(level: str) -> list[str]:
        return [one for one in _said(_check(site, capsys)[1], level) if one.startswith("watches: ")]

    lost, blobs = sorted(said("warning"), key=lambda one: "blobs:" in one)
    assert "lost: a job that asks for it is told nothing: this site has no cohort" in lost
    assert "lets nothing of a drift watch of cohort" in blobs
    grant(site / "local", "blobs", NoBudget(drift_watches=DriftWatches(minimum_images=7)))
    assert any("blobs: there is no folder of results" in one for one in said("warning"))
    (site / "local" / "results").mkdir()
    (good,) = said("ok")
    assert good == "watches: drift watch blobs: counts of fewer than 7 images are hidden"


def test_a_delta_that_is_too_large_for_the_cohort_is_an_error(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    give_blobs(site)
    for delta, is_said in ((0.2, True), (0.01, False)):
        grant(site / "local", "blobs", CohortBudget(unit="patient", epsilon=8, delta=delta))
        said = [message for message in _said(_check(site, capsys)[1], "error") if message.startswith("policy: ")]
        assert bool(said) is is_said and all("delta 0.2 is not below 1/" in message for message in said)


def test_a_pacs_that_is_away_is_a_warning_and_a_bad_file_for_it_an_error(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, titles = site / "local" / "fedvoxel_site.json", {"called_ae_title": "PACS", "calling_ae_title": "SITE"}
    away = {"protocol": "dimse", "host": "127.0.0.1", "port": 9, **titles}
    certificates = {"away": away | {"plaintext": True}, "bad": away | {"tls": {"ca": "nowhere.pem"}}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pacs": certificates}))
    _, shown = _check(site, capsys)
    assert any(message.startswith("pacs: away: ") for message in _said(shown, "warning"))
    assert any("pacs: bad: tls.ca: expected a file" in message for message in _said(shown, "error"))


@pytest.mark.parametrize(
    ("cohort", "complaint"),
    [
        ({"source": {"layout": "csv", "table": "none.csv"}, "classes": {"a": 1}}, "data: cohort one:"),
        ({"source": {"layout": "csv", "table": "cases.csv"}, "classes": {"a": 1}}, "data: cohort one:"),
        ({"source": {"layout": "dicom"}}, "local/fedvoxel_site.json"),
    ],
)
def test_data_that_cannot_be_used_is_found(
    site: Path, capsys: pytest.CaptureFixture[str], cohort: dict[str, Any], complaint: str
) -> None:
    path = site / "local" / "fedvoxel_site.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cohorts": {"one": cohort}}))
    (site / "local" / "cases.csv").write_text("case,patient,image,label\nc1,p1,none.nii,none.nii\n")
    errors = _said(_check(site, capsys)[1], "error")
    assert any(complaint in message for message in errors), errors
    secret = json.loads(path.read_text())["pseudonym_key"]
    assert not any(secret in message for message in errors)


def test_a_folder_that_is_no_kit_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", "check", str(tmp_path)]) == 8
    assert "not a startup kit" in capsys.readouterr().err


def test_init_writes_what_is_missing(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "local" / "privacy.json").unlink()
    assert main(["site", "init", str(site)]) == 0
    assert "local/privacy.json" in capsys.readouterr().out
    assert main(["site", "init", str(site)]) == 0
    assert "local/privacy.json" not in capsys.readouterr().out


def test_start_refuses_what_check_refuses(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "startup" / "client.key").chmod(0o644)
    assert main(["site", "start", str(site)]) == 9
    assert "can be read by others" in capsys.readouterr().err
    assert not is_running(open_kit(site))


def test_start_runs_until_it_is_told_to_stop(consortium: Consortium, capsys: pytest.CaptureFixture[str]) -> None:
    kit = consortium.server_kit
    command = [sys.executable, "-m", "fedvoxel.cli.main", "site", "start", str(kit)]
    runner = subprocess.Popen(command, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert runner.stdout is not None
        assert any(b"Server started" in line for line in runner.stdout)
        family = psutil.Process(runner.pid).children(recursive=True)
        assert family
        assert main(["site", "start", str(kit)]) == 8
        assert "already running" in capsys.readouterr().err
        assert _check(kit, capsys)[0] == 0
    finally:
        runner.send_signal(signal.SIGTERM)
        _, still = psutil.wait_procs([psutil.Process(runner.pid)], timeout=10)
        runner.communicate()
    assert not still
    time.sleep(0.2)
    assert not [process for process in family if process.is_running()]
    assert not is_running(open_kit(kit))
