"""A forger who can write a ledger and works out every hash anew is caught by what somebody outside has noted."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import LedgerError
from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.reconcile import reconcile, site_releases
from fedvoxel.privacy.server_ledger import Received, ServerLedger
from fedvoxel.privacy.server_record import verify_server
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import HEAD_FILE, next_entry
from tests.privacy.ledger_processes import BUDGET, COHORT, plan_of

PLAN = plan_of(3)
LINES = ("opened", "reserved", "kept", "sent", "reserved", "kept", "sent")
POSITIONS = range(len(LINES))
Bodies = list[dict[str, Any]]


class Site:
    """Is a site that has sent two releases, and the server that has received them."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "site" / "state"
        self.file = self.state / "privacy" / COHORT / "ledger.jsonl"
        self.ledger = Ledger(self.state / "privacy", COHORT, BUDGET)
        self.server = folder / "server" / "state"
        received = []
        for number, content in enumerate((b"first", b"second")):
            made = self.ledger.reserve("run", "job", number, PLAN)
            self.ledger.keep(made, content)
            self.ledger.bytes_to_send(made.release_id)
            names = {"run_key": "run", "job_id": "job", "site": "a", "round": number, "release_id": made.release_id}
            received.append(Received(**names, event=PLAN.event, sha256=hashlib.sha256(content).hexdigest()))
        ServerLedger(self.server).receive(received)
        self.noted = self.ledger.status().head

    def bodies(self) -> Bodies:
        return [entry.body for entry in Chain(self.file).read()]

    def forge(self, bodies: Bodies, head: bool = True) -> None:
        """Writes other entries with right hashes, and a head that fits."""
        entry, lines = None, []
        for body in bodies:
            entry = next_entry(entry, body, datetime.now(UTC))
            lines.append(entry.line + b"\n")
        self.file.write_bytes(b"".join(lines))
        if head:
            self.file.with_name(HEAD_FILE).unlink()
            self.file.with_name(HEAD_FILE).write_bytes(lines[-1]) if lines else self.file.unlink()

    def misfits(self) -> tuple[str, ...]:
        """Returns what the server's ledger says against the site's."""
        return reconcile(verify_server(self.server), "a", site_releases(self.state)).problems


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    assert tuple(body["kind"] for body in made.bodies()) == LINES
    assert made.ledger.verify(made.noted) == () == made.misfits()
    return made


def removed(bodies: Bodies, position: int) -> Bodies:
    return bodies[:position] + bodies[position + 1 :]


def edited(bodies: Bodies, position: int) -> Bodies:
    """Makes it look as if less had been spent, where nothing else contradicts it."""
    return [body | {"spent_epsilon": 0} if index == position else body for index, body in enumerate(bodies)]


def cut(bodies: Bodies, position: int) -> Bodies:
    return bodies[:position]


@pytest.mark.parametrize("position", POSITIONS, ids=lambda index: f"{index} {LINES[index]}")
@pytest.mark.parametrize("forgery", [removed, edited, cut])
def test_with_hashes_anew_what_was_noted_tells(
    forgery: Callable[[Bodies, int], Bodies], position: int, site: Site
) -> None:
    site.forge(forgery(site.bodies(), position))
    with pytest.raises(LedgerError):
        site.ledger.verify(site.noted)


RAW: dict[str, Callable[[list[bytes], int], list[bytes]]] = {
    "removed": lambda lines, position: lines[:position] + lines[position + 1 :],
    "edited": lambda lines, position: [
        line.replace(b'"kind"', b'"kinD"') if index == position else line for index, line in enumerate(lines)
    ],
    "cut": lambda lines, position: lines[:position],
}


@pytest.mark.parametrize("position", POSITIONS, ids=lambda index: f"{index} {LINES[index]}")
@pytest.mark.parametrize("forgery", RAW)
def test_without_new_hashes_nothing_need_be_noted(forgery: str, position: int, site: Site) -> None:
    lines = site.file.read_bytes().splitlines(keepends=True)
    site.file.write_bytes(b"".join(RAW[forgery](lines, position)))
    with pytest.raises(LedgerError):
        site.ledger.verify()


def told_by_the_server(site: Site) -> bool:
    try:
        return bool(site.misfits())
    except LedgerError:
        return True


@pytest.mark.parametrize("position", POSITIONS, ids=lambda index: f"{index} {LINES[index]}")
@pytest.mark.parametrize("forgery", [removed, cut])
def test_with_hashes_anew_the_servers_ledger_misses_what_is_gone(
    forgery: Callable[[Bodies, int], Bodies], position: int, site: Site
) -> None:
    site.forge(forgery(site.bodies(), position))
    assert told_by_the_server(site)


CHANGES: dict[str, dict[str, Any]] = {
    "opened": {"cohort": "another"},
    "reserved": {"round": 2},
    "kept": {"sha256": "0" * 64},
    "sent": {"release_id": "0" * 32},
}


@pytest.mark.parametrize("position", POSITIONS[1:], ids=lambda index: f"{index} {LINES[index]}")
def test_with_hashes_anew_the_servers_ledger_tells_what_was_received_otherwise(position: int, site: Site) -> None:
    bodies = site.bodies()
    bodies[position] |= CHANGES[LINES[position]]
    site.forge(bodies)
    assert told_by_the_server(site)


def test_another_cohorts_ledger_is_told_by_itself(site: Site) -> None:
    first, *rest = site.bodies()
    site.forge([first | CHANGES["opened"], *rest])
    with pytest.raises(LedgerError, match="another"):
        site.ledger.verify()


def test_a_line_put_in_at_the_end_looks_like_a_crash_and_takes_nothing_away(site: Site) -> None:
    """The head is one entry behind, as after a crash; only a head that was noted when nothing ran is another one."""
    bodies, before = site.bodies(), site.ledger.status()
    forged = bodies[4] | {"release_id": "0" * 32, "round": 2}
    head = site.file.with_name(HEAD_FILE).read_bytes()
    last = Chain(site.file).read()[-1]
    with site.file.open("ab") as stream:
        stream.write(next_entry(last, forged, datetime.now(UTC)).line + b"\n")
    assert site.file.with_name(HEAD_FILE).read_bytes() == head
    assert site.ledger.verify(site.noted) == (), "it follows what was noted"
    after = site.ledger.status()
    assert after.head != site.noted, "whoever has noted the head sees that there is more"
    assert after.spent_epsilon >= before.spent_epsilon and after.entries == before.entries + 1
    assert (
        site.misfits() == ()
        and sum(one.received for one in reconcile(verify_server(site.server), "a", site_releases(site.state)).runs) == 2
    )


def test_two_lines_put_in_at_the_end_are_no_crash(site: Site) -> None:
    site.forge([*site.bodies(), site.bodies()[-1], site.bodies()[-1]], head=False)
    with pytest.raises(LedgerError, match=HEAD_FILE):
        site.ledger.verify()
