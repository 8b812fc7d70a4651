"""Lines that are cut for a minute: a hospital's costs its part in some rounds, the server's no committed round."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.federation.outcome import RunOutcome, load_outcome
from tests.blob_job import META, controller_of, give_blobs, job_documents, write_job
from tests.system.conftest import wait_until
from tests.system.network import environment, why_not
from tests.system.networked import HOSPITALS, SCIENTIST, SERVER, NetworkedConsortium, networked

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]

CUT, OTHER = HOSPITALS[1], HOSPITALS[0]
CUT_S, ROUNDS = 60.0, 50


def _start(consortium: NetworkedConsortium, words: list[Any], output: Path) -> subprocess.Popen[bytes]:
    """Starts a command of the package on the data scientist's machine."""
    program = [sys.executable, "-m", "fedvoxel.cli.main", *words, "--kit", consortium.kits[SCIENTIST]]
    with output.open("wb") as log:
        return subprocess.Popen(
            consortium.network.command("scientist", program), stdout=log, stderr=subprocess.STDOUT, env=environment()
        )


class Watch:
    """Is what `fedvoxel watch --json` has said so far."""

    def __init__(self, output: Path) -> None:
        self.output = output

    def progress(self) -> list[dict[str, Any]]:
        lines = self.output.read_text().splitlines()
        looks = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [look["progress"] for look in looks if look["progress"]]

    def waits(self, reason: str) -> list[dict[str, Any]]:
        """Returns the waits for the hospital that is cut off whose reason holds some words."""
        return [
            wait
            for progress in self.progress()
            for wait in progress["waits"]
            if wait["site"] == CUT and reason in wait["reason"]
        ]


def test_a_site_whose_line_is_cut_for_a_minute_goes_on_in_the_same_job(tmp_path: Path) -> None:
    documents = job_documents(epochs_per_round=30)
    controller_of(documents)["args"]["rounds"] |= {"num_rounds": ROUNDS, "min_sites": 1}
    documents[META]["min_clients"] = 1
    with networked(tmp_path) as consortium:
        for hospital in HOSPITALS:
            give_blobs(consortium.kits[hospital])
        job = write_job(tmp_path / "job", documents)
        submitted = _start(consortium, ["job", "submit", job, "--download", tmp_path], tmp_path / "submit.log")
        deployed = consortium.kits[OTHER]
        found = wait_until(lambda: list(deployed.glob("*/meta.json")), 120, "the job has been deployed")
        watch = Watch(tmp_path / "watch.log")
        watching = _start(consortium, ["watch", found[0].parent.name, "--json", "--interval", "1"], watch.output)
        wait_until(lambda: any(seen["round"] >= 1 for seen in watch.progress()), 120, "the second round has begun")
        cable = consortium.network.cable(CUT)
        subprocess.run(["ip", "link", "set", cable, "down"], check=True)
        cut = time.monotonic()
        wait_until(lambda: time.monotonic() - cut > CUT_S, 2 * CUT_S, "a minute is over")
        subprocess.run(["ip", "link", "set", cable, "up"], check=True)
        assert submitted.wait(300) == 0, (tmp_path / "submit.log").read_text()
        assert watching.wait(60) == 0, watch.output.read_text()[-2000:]
        (outcome_file,) = tmp_path.glob("*/workspace/outcome.json")
    outcome = load_outcome(outcome_file)
    assert (outcome.status, outcome.rounds_committed) == ("finished", ROUNDS)
    assert all(OTHER in record.contributed for record in outcome.rounds)
    lost = [record.round for record in outcome.rounds if record.missing.get(CUT) == "lost its connection"]
    assert lost, "it was cut off"
    assert CUT in outcome.rounds[-1].contributed, "it is back in the same job"
    assert watch.waits("works on it")
    given_up = [seen["sites"][CUT] for seen in watch.progress() if seen["sites"][CUT]["state"] == "missing"]
    assert {each["reason"] for each in given_up} == {"lost its connection"}


def test_a_run_goes_on_by_itself_when_the_servers_line_is_back(tmp_path: Path) -> None:
    documents = job_documents(epochs_per_round=30)
    controller_of(documents)["args"]["rounds"] |= {"num_rounds": 12}
    with networked(tmp_path) as consortium:
        for hospital in HOSPITALS:
            give_blobs(consortium.kits[hospital])
        run = consortium.kits[SERVER] / "state" / "runs" / controller_of(documents)["args"]["run_key"]
        job = write_job(tmp_path / "job", documents)
        assert _start(consortium, ["job", "submit", job], tmp_path / "submit.log").wait(120) == 0

        def outcome() -> RunOutcome | None:
            return load_outcome(run / "outcome.json") if (run / "outcome.json").is_file() else None

        wait_until(lambda: (told := outcome()) and told.rounds_committed >= 2, 180, "two rounds are committed")
        cable = consortium.network.cable("server")
        subprocess.run(["ip", "link", "set", cable, "down"], check=True)
        wait_until(lambda: (told := outcome()) and told.status == "aborted", 180, "FLARE has aborted the job")
        committed = outcome()
        subprocess.run(["ip", "link", "set", cable, "up"], check=True)
        wait_until(
            lambda: (told := outcome()) and told.status not in ("aborted", "unfinished"), 300, "the run has ended"
        )
        ended = outcome()
    assert committed and ended and (ended.status, ended.rounds_committed) == ("finished", 12), ended
    assert [one.first_round for one in ended.attempts] == [0, committed.rounds_committed]
