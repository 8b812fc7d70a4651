"""`fedvoxel track` as a person and as a script call it."""

import csv
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.federation.outcome import OUTCOME_FILE, write_outcome
from fedvoxel.ops import following
from fedvoxel.ops.trackers import places
from fedvoxel.ops.trackers.places import SWITCHES
from fedvoxel.records.identity import Identity
from tests.cli.test_export import kit_of
from tests.export.package_sample import sample_package, sample_root
from tests.ops.trackers.fake_tracker import SECRET, FakeTracker, under_way
from tests.sample_run import sample_outcome

RUN = "hippocampus-2026-03"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A state folder of the test's own; what a command sets in the environment goes with the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in (*SWITCHES, *places.PATIENCE):
        # Set first, so that it is known to be taken back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name in ("MLFLOW_TRACKING_URI", "FEDVOXEL_ROOT", "FEDVOXEL_CRL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    write_outcome(sample_outcome(), tmp_path / "job" / "workspace" / OUTCOME_FILE)
    return tmp_path / "job"


def _rows(folder: Path) -> list[list[str]]:
    (path,) = folder.glob("*/metrics.csv")
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))[1:]


def test_a_finished_job_is_sent_once(job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["track", str(job), "--to", "csv", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert f"Sent of run {RUN} (finished) to CSV: 5 parameters, 194 values, 10 tags, 1 files." in shown.out
    assert "Next: look at" in shown.out and shown.err == ""
    assert len(_rows(tmp_path / "out")) == 194
    assert main(words) == 0
    assert capsys.readouterr().out == f"CSV has all of run {RUN} (finished) already.\n"


def test_json_is_alone_on_standard_output(job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["track", str(job), "--to", "tensorboard", "--out", str(tmp_path / "out"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["tracker"] == "TensorBoard" and said["run_key"] == RUN and said["status"] == "finished"
    assert said["sent"] == {"params": 5, "tags": 10, "points": 194, "files": 1} and said["cpu_s"] >= 0


def test_a_run_under_way_is_followed_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = tmp_path / "kits" / "server.example"
    outcome = server / "state" / "runs" / RUN / OUTCOME_FILE
    write_outcome(under_way(1), outcome)
    seen: list[int] = []
    steps: Iterator[int] = iter((2, 2, 7))

    def another_round(pause_s: float) -> None:
        seen.append(len({row[1] for row in _rows(tmp_path / "out")}))
        rounds = next(steps, None)
        write_outcome(under_way(rounds) if rounds else sample_outcome(), outcome)

    monkeypatch.setattr(following.time, "sleep", another_round)
    words = ["track", RUN, "--server", str(server), "--to", "csv", "--out", str(tmp_path / "out"), "--follow"]
    assert main(words) == 0
    assert seen == [1, 2, 2, 7], "each round is there before the next one"
    assert f"Sent of run {RUN} (finished) to CSV: 5 parameters, 194 values" in capsys.readouterr().out
    assert {int(row[1]) for row in _rows(tmp_path / "out")} == set(range(12))


def test_interrupted_following_has_sent_what_there_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_outcome(under_way(3), tmp_path / OUTCOME_FILE)
    tracker = FakeTracker()
    monkeypatch.setattr(places.Place, "tracker", lambda place: tracker)

    def interrupt(pause_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(following.time, "sleep", interrupt)
    assert main(["track", str(tmp_path), "--to", "csv", "--follow"]) == 130
    assert {point.round for point in tracker.points()} == {0, 1, 2} and tracker.finished == ["unfinished"]


def test_a_tracker_that_fails_is_one_line_without_its_secret(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = FakeTracker()
    monkeypatch.setattr(places.Place, "tracker", lambda place: tracker)
    before = (job / "workspace" / OUTCOME_FILE).read_bytes()
    for step in ("start", "points", "tags", "finish"):
        tracker.fails_at = step
        for debug in ([], ["--debug"]):
            code = main([*debug, "track", str(job), "--to", "csv", "--state", str(tmp_path / step)])
            streams = capsys.readouterr()
            assert code == 27 and SECRET not in streams.out + streams.err
            assert "Fake did not take it: its client raised RuntimeError. Nothing is lost" in streams.err
            assert debug or streams.err.count("\n") == 1
    tracker.fails_at = None
    assert main(["track", str(job), "--to", "csv", "--state", str(tmp_path / "points")]) == 0
    assert (job / "workspace" / OUTCOME_FILE).read_bytes() == before, "the run is not disturbed"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--to", "mlflow", "--url", f"https://u:{SECRET}@mlflow.example"], 3, "holds a login"),
        (["--to", "csv", "--package", "x.fvpkg"], 3, "--package needs --root"),
        (["--to", "csv", "--server", "kits/none"], 10, "the server has no run or job"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    job: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(places, "check_installed", lambda to: None)
    assert main(["track", str(job), *words]) == code
    streams = capsys.readouterr()
    assert said in streams.err and streams.err.count("\n") == 1 and SECRET not in streams.err and streams.out == ""


def test_a_run_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["track", str(tmp_path / "none"), "--to", "csv"]) == 10
    assert "is not a folder" in capsys.readouterr().err
    assert main(["track", str(tmp_path), "--to", "excel"]) == 2


def _signer() -> Identity:
    now = datetime.now(UTC)
    return sample_root().issue("now@b.example", "lead", begins=now - timedelta(1), ends=now + timedelta(1))


def test_a_package_of_another_run_or_none_is_refused(
    job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(kit_of(tmp_path / "kits", _signer()))
    package = str(sample_package(tmp_path).path)
    words = ["track", str(job), "--to", "csv", "--out", str(tmp_path / "out"), "--root", root, "--package"]
    assert main([*words, package]) == 17
    assert "the package has no" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "none.fvpkg")]) == 17
    assert not (tmp_path / "out").exists()


def test_help_says_how(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for words in (["track", "--help"], ["track", "run", "--help"], ["track", "register", "--help"]):
        assert main(words) == 0
        assert "Example: fedvoxel track" in capsys.readouterr().out


def test_registering_in_a_place_that_is_down_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow", reason="needs MLflow: pip install -c constraints.txt '.[tracking]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    kit = kit_of(tmp_path / "kits", _signer())
    package, index = str(sample_package(tmp_path).path), str(tmp_path / "index")
    seen = ["--seen", str(tmp_path / "seen.json")]
    assert main(["release", "publish", package, index, "--sign", str(kit), "--reason", "good", *seen]) == 0
    capsys.readouterr()
    assert main(["track", "register", package, "--url", url, "--releases", index, "--root", str(kit), *seen]) == 27
    assert "MLflow did not take it: it cannot be reached" in capsys.readouterr().err
