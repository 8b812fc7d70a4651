"""A hospital that is back only after its server, when the run has gone on without it: it is in the run again."""

from pathlib import Path

import pytest

from fedvoxel.flare.round_journal import RoundJournal

from .conftest import SITES, job_variant, wait_until
from .test_resume import JOB_PROCESS, SERVER_PROCESS, Supervised, supervised

pytestmark = pytest.mark.slow

ROUNDS, LATE = 16, SITES[2]


def attempts(consortium: Supervised, run_key: str) -> int:
    entry = RoundJournal(consortium.folder(run_key) / "journal").read()
    return len(entry.attempts) if entry else 0


def test_a_site_that_is_back_after_the_server_is_in_the_run_again(tmp_path: Path) -> None:
    with supervised(tmp_path, SITES[:3]) as consortium:
        consortium.submit(job_variant(tmp_path, "late", ROUNDS, epochs=6))
        consortium.wait_for_round("late", 1)
        consortium.running.stop(LATE, abruptly=True)
        consortium.kill(SERVER_PROCESS)
        consortium.kill(JOB_PROCESS)
        wait_until(lambda: attempts(consortium, "late") == 2, 180, "the run goes on without the site")
        without = RoundJournal(consortium.folder("late") / "journal").read()
        consortium.running.start(LATE)
        outcome = consortium.outcome("late")
    assert outcome.status == "finished", outcome.reason
    assert without and [one.first_round for one in outcome.attempts][1] == without.committed
    assert len(outcome.attempts) == 3, "one more, for the site alone"
    back = outcome.attempts[2].first_round
    missed = [record.round for record in outcome.rounds if LATE not in record.contributed]
    assert missed == list(range(without.committed, back)), "from the server's end until the site was back"
    assert back < ROUNDS
