"""The privacy ledger: nothing is drawn that is not charged, nothing charged is forgotten, and no budget is passed."""

import fcntl
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from fedvoxel.errors import BudgetExceededError, ConfigError, LedgerError
from fedvoxel.privacy import spending
from fedvoxel.privacy.charging import most_draws
from fedvoxel.privacy.events import GaussianEvent, NoiseSharing
from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.ledger_run import Reservation
from fedvoxel.privacy.policy import CohortBudget
from fedvoxel.privacy.simulation import simulate
from fedvoxel.privacy.spending import planned_epsilon
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_lock import LOCK_FILE
from tests.privacy.ledger_processes import BUDGET, COHORT, plan_of

ROOT = Path(__file__).resolve().parents[2]
PLAN = plan_of(3)
PINNED = GaussianEvent(noise_multiplier=2.2, sampling_probability=0.32, count=10)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path, COHORT, BUDGET)


def file_of(folder: Path) -> Path:
    return folder / COHORT / "ledger.jsonl"


def bodies(folder: Path) -> list[dict[str, Any]]:
    return [entry.body for entry in Chain(file_of(folder)).read()]


def release(ledger: Ledger, round_index: int, content: bytes = b"noised", run_key: str = "run") -> str:
    """Does what a site does for one round, and returns the release's id."""
    reservation = ledger.reserve(run_key, "job", round_index, PLAN)
    ledger.keep(reservation, content)
    assert ledger.bytes_to_send(reservation.release_id) == content
    return reservation.release_id


# ------------------------------------------------------------------ the budget


def pinned_plan(draws: int) -> RunPlan:
    return RunPlan(unit="patient", event=PINNED, draws=draws, delta=1e-3)


def test_eighteen_rounds_fit_and_the_nineteenth_is_refused(ledger: Ledger) -> None:
    assert planned_epsilon(pinned_plan(19)) == pytest.approx(8.165, abs=1e-3)
    for round_index in range(18):
        ledger.reserve("run", "job", round_index, pinned_plan(30))
    with pytest.raises(BudgetExceededError, match="granted run run 18 of the 30 releases that it planned"):
        ledger.reserve("run", "job", 18, pinned_plan(30))
    status = ledger.status()
    assert status.spent_epsilon == pytest.approx(7.8870, abs=1e-4)
    assert status.remaining_epsilon == pytest.approx(0.1130, abs=1e-4)
    assert (status.spent_delta, status.remaining_delta) == (1e-3, 0)
    assert [(run.run_key, run.drawn, run.kept, run.sent) for run in status.runs] == [("run", 18, 0, 0)]


def test_no_more_draws_are_said_to_fit_than_a_run_may_plan() -> None:
    event = GaussianEvent(noise_multiplier=1e4, sampling_probability=1e-4, count=250_000)
    assert most_draws(RunPlan(unit="patient", event=event, draws=1, delta=1e-3), 8.0) == 4


def test_nobody_waits_at_the_lock_for_the_accountant(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(ledger, 0)
    asked: list[GaussianEvent] = []

    def accountant(events: list[GaussianEvent], delta: float) -> float:
        asked.append(events[0])
        with (tmp_path / COHORT / LOCK_FILE).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return 7.9 * len(events) / 30

    monkeypatch.setattr(spending, "epsilon", accountant)
    spending.planned_epsilon.cache_clear()
    try:
        for round_index in (0, 1):
            ledger.reserve("another", "job", round_index, pinned_plan(40).model_copy(update={"delta": 5e-4}))
    finally:
        spending.planned_epsilon.cache_clear()
    assert {PLAN.event, PINNED} == set(asked)


def test_a_simulation_agrees_with_the_ledger() -> None:
    plan = plan_of(1, noise_multiplier=10)
    simulation = simulate(plan, 1.0)
    assert (simulation.plan, simulation.epsilon) == (plan, planned_epsilon(plan))
    most = simulation.most_rounds
    assert most is not None and planned_epsilon(plan_of(most, 10)) <= 1 < planned_epsilon(plan_of(most + 1, 10))
    assert most_draws(plan, simulation.epsilon / 2) == 0
    assert simulate(plan).most_rounds is None


def test_a_run_is_charged_whole_at_its_first_draw(ledger: Ledger) -> None:
    """Were it charged by the round, whoever sees the releases could stop it when that suits him; see `spending`."""
    ledger.reserve("run", "job", 0, PLAN)
    assert ledger.status().spent_epsilon == planned_epsilon(PLAN) > planned_epsilon(plan_of(1))
    ledger.reserve("run", "job", 1, PLAN)
    assert ledger.status().spent_epsilon == planned_epsilon(PLAN)


def test_runs_add_up_epsilon(ledger: Ledger) -> None:
    plan = plan_of(1, noise_multiplier=0.8)
    assert 4 < planned_epsilon(plan) < 8
    ledger.reserve("first", "job", 0, plan)
    with pytest.raises(BudgetExceededError, match=r"epsilon \d\.\d{3} and delta 0\.0005 are spent"):
        ledger.reserve("second", "job", 0, plan)
    assert [run.run_key for run in ledger.status().runs] == ["first"]


def test_runs_add_up_delta_exactly(ledger: Ledger) -> None:
    plan = plan_of(1, delta=1e-4)
    for number in range(10):
        ledger.reserve(f"run-{number}", "job", 0, plan)
    assert ledger.status().spent_delta == 1e-3
    with pytest.raises(BudgetExceededError, match=r"delta 0\.001 are spent"):
        ledger.reserve("run-10", "job", 0, plan)


def test_a_run_without_noise_passes_every_budget(ledger: Ledger) -> None:
    with pytest.raises(BudgetExceededError, match="costs epsilon inf"):
        ledger.reserve("run", "job", 0, plan_of(1, noise_multiplier=0))


def test_a_lowered_budget_stops_a_run_and_a_changed_one_is_recorded(ledger: Ledger, tmp_path: Path) -> None:
    ledger.reserve("run", "job", 0, PLAN)
    lower = Ledger(tmp_path, COHORT, BUDGET.model_copy(update={"epsilon": 1e-6}))
    with pytest.raises(BudgetExceededError, match="budget is epsilon 1e-06"):
        lower.reserve("run", "job", 1, PLAN)
    assert lower.status().remaining_epsilon == 0
    Ledger(tmp_path, COHORT, BUDGET.model_copy(update={"epsilon": 9.0})).reserve("run", "job", 1, PLAN)
    assert [body["epsilon"] for body in bodies(tmp_path) if body["kind"] == "opened"] == [8, 9]


def test_a_ledger_never_changes_whom_it_protects(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="protects each patient, but the run's mechanism protects each hospital"):
        ledger.reserve("run", "job", 0, PLAN.model_copy(update={"unit": "hospital"}))
    ledger.reserve("run", "job", 0, PLAN)
    other = Ledger(tmp_path, COHORT, CohortBudget(unit="hospital", epsilon=8, delta=1e-3))
    for call in (other.status, other.verify, lambda: other.record_gap(0, 0, "me", "why not")):
        with pytest.raises(LedgerError, match=f"about each patient of cohort {COHORT}, not about each hospital"):
            call()


def test_another_cohorts_ledger_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    ledger.reserve("run", "job", 0, PLAN)
    shutil.copytree(tmp_path / COHORT, tmp_path / "liver")
    with pytest.raises(LedgerError, match=f"cohort {COHORT}, not about each patient of cohort liver"):
        Ledger(tmp_path, "liver", BUDGET).reserve("run", "job", 1, PLAN)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"event": GaussianEvent(noise_multiplier=1001, sampling_probability=1, count=1)}, "event"),
        ({"event": GaussianEvent(noise_multiplier=1000, sampling_probability=0.5, count=1)}, "event"),
        ({"event": GaussianEvent(noise_multiplier=1000, sampling_probability=1, count=2)}, "event"),
        ({"draws": 4}, "draws"),
        ({"delta": 4e-4, "draws": 2}, "draws and delta"),
    ],
)
def test_a_run_that_changes_its_plan_is_refused(ledger: Ledger, changes: dict[str, Any], named: str) -> None:
    ledger.reserve("run", "job", 0, PLAN)
    with pytest.raises(
        LedgerError, match=f"another {named} at its first release; a run's privacy parameters are fixed"
    ):
        ledger.reserve("run", "next-job", 1, PLAN.model_copy(update=changes))
    assert ledger.status().runs[0].drawn == 1


def test_a_share_of_noise_is_not_sent_as_a_release_that_has_the_whole(ledger: Ledger) -> None:
    sharing = NoiseSharing(sites=5, colluders=1, dropouts=1)
    shared = PLAN.model_copy(update={"event": PLAN.event.model_copy(update={"sharing": sharing})})
    assert planned_epsilon(shared) == planned_epsilon(PLAN)
    ledger.keep(ledger.reserve("run", "job", 0, shared), b"share")
    assert ledger.kept("run", 0, shared)
    with pytest.raises(LedgerError, match="declared another event at its first release"):
        ledger.kept("run", 0, PLAN)
    assert ledger.status().runs[0].plan == shared


@pytest.mark.parametrize("run_key", ["", "../run", "a b", "a\nb", "x" * 81])
def test_a_run_key_that_is_none_is_refused(ledger: Ledger, run_key: str) -> None:
    with pytest.raises(ConfigError, match="run_key"):
        ledger.reserve(run_key, "job", 0, PLAN)


def test_a_plan_has_a_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 1000000 steps over all draws"):
        RunPlan(unit="patient", event=PINNED.model_copy(update={"count": 500_000}), draws=3, delta=1e-3)


# ------------------------------------------------------------------ one release


def test_a_retry_sends_the_same_bytes_and_costs_nothing(ledger: Ledger, tmp_path: Path) -> None:
    release_id = release(ledger, 0, b"first")
    spent = ledger.status().spent_epsilon
    again = Ledger(tmp_path, COHORT, BUDGET)
    assert again.kept("run", 0, PLAN) == release_id
    assert again.bytes_to_send(release_id) == b"first"
    with pytest.raises(LedgerError, match=f"has release {release_id}, whose bytes are kept"):
        again.reserve("run", "next-job", 0, PLAN)
    assert (again.kept("run", 1, PLAN), again.kept("other", 0, PLAN)) == (None, None)
    assert [body["kind"] for body in bodies(tmp_path)] == ["opened", "reserved", "kept", "sent", "sent"]
    status = again.status()
    assert (status.spent_epsilon, status.runs[0].drawn, status.runs[0].sent) == (spent, 1, 1)


@pytest.mark.parametrize(
    ("changed", "value"),
    [("event", PLAN.event.model_copy(update={"noise_multiplier": 999.0})), ("draws", 2), ("delta", 4e-4)],
)
def test_a_kept_release_is_no_answer_under_another_plan(ledger: Ledger, changed: str, value: Any) -> None:
    release(ledger, 0)
    with pytest.raises(LedgerError, match=f"declared another {changed} at its first release"):
        ledger.kept("run", 0, PLAN.model_copy(update={changed: value}))


def test_what_a_ledger_records(ledger: Ledger, tmp_path: Path) -> None:
    """Ledgers of earlier versions must be readable for ever: keys are added, never renamed."""
    release_id = release(ledger, 0)
    digest = hashlib.sha256(b"noised").hexdigest()
    opened, reserved, kept, sent = bodies(tmp_path)
    spent = {"spent_epsilon": planned_epsilon(PLAN), "spent_delta": 5e-4}
    nothing = {"spent_epsilon": 0, "spent_delta": 0}
    event = {"noise_multiplier": 1000, "sampling_probability": 1, "count": 1}
    names = {"release_id": release_id, "run_key": "run", "job_id": "job", "round": 0}
    assert opened == {"kind": "opened", "cohort": COHORT, "unit": "patient", "epsilon": 8, "delta": 1e-3, **nothing}
    counts = {"planned": 3, "draws": 3, "job_delta": 5e-4}
    assert reserved == {"kind": "reserved", **names, "event": event, **counts, **spent}
    assert kept == {"kind": "kept", "release_id": release_id, "sha256": digest, "file": f"{release_id}.bin", **spent}
    assert sent == {"kind": "sent", "release_id": release_id, **spent}
    assert (tmp_path / COHORT / "releases" / kept["file"]).read_bytes() == b"noised"


def test_a_draw_that_was_not_kept_is_drawn_anew_and_charged(ledger: Ledger) -> None:
    lost = [ledger.reserve("run", "job", 0, PLAN).release_id for _ in range(2)]
    found = release(ledger, 0)
    assert len({*lost, found}) == 3
    assert ledger.status().runs[0].drawn == 3
    with pytest.raises(
        BudgetExceededError, match="planned 3 releases and has used them, those lost to crashes included"
    ):
        ledger.reserve("run", "job", 1, PLAN)


def test_of_two_attempts_at_a_round_the_first_kept_wins(ledger: Ledger) -> None:
    first, second = (ledger.reserve("run", f"job-{name}", 0, PLAN) for name in "ab")
    ledger.keep(second, b"second")
    with pytest.raises(LedgerError, match=f"has release {second.release_id}, whose bytes are kept"):
        ledger.keep(first, b"first")
    with pytest.raises(LedgerError, match=f"{first.release_id} is sent but was never kept"):
        ledger.bytes_to_send(first.release_id)
    assert ledger.status().runs[0].drawn == 2


def test_only_what_was_reserved_is_kept_and_only_once(ledger: Ledger, tmp_path: Path) -> None:
    reservation = ledger.reserve("run", "job", 0, PLAN)
    made_up = Reservation("0" * 32, "run", "job", 1, PLAN)
    with pytest.raises(LedgerError, match="is kept but was never reserved"):
        ledger.keep(made_up, b"raw")
    with pytest.raises(LedgerError, match="is sent but was never kept"):
        ledger.bytes_to_send(made_up.release_id)
    ledger.keep(reservation, b"noised")
    with pytest.raises(LedgerError, match="whose bytes are kept"):
        ledger.keep(reservation, b"other")
    moved = Reservation(reservation.release_id, "run", "job", 1, PLAN)
    with pytest.raises(LedgerError, match="is kept twice"):
        ledger.keep(moved, b"other")
    assert ledger.bytes_to_send(reservation.release_id) == b"noised"
    assert len(list((tmp_path / COHORT / "releases").iterdir())) == 1


@pytest.mark.parametrize("content", [None, b"", b"noisee", b"noised and more"])
def test_damaged_bytes_are_not_sent_and_a_new_draw_is_charged(
    ledger: Ledger, tmp_path: Path, content: bytes | None
) -> None:
    damaged = release(ledger, 0)
    path = tmp_path / COHORT / "releases" / f"{damaged}.bin"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert ledger.kept("run", 0, PLAN) is None
    with pytest.raises(LedgerError, match="missing or not those that were kept, and are not sent"):
        ledger.bytes_to_send(damaged)
    assert ledger.verify() == (damaged,)
    redrawn = release(ledger, 0, b"noised anew")
    assert ledger.kept("run", 0, PLAN) == redrawn
    assert ledger.status().runs[0].drawn == 2


def test_a_full_disk_releases_nothing(ledger: Ledger, tmp_path: Path) -> None:
    reservation = ledger.reserve("run", "job", 0, PLAN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(LedgerError, match=r"cannot be kept \(File too large\); it is not sent"):
            ledger.keep(reservation, bytes(6000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert ledger.kept("run", 0, PLAN) is None
    assert list((tmp_path / COHORT / "releases").iterdir()) == []
    ledger.keep(reservation, b"noised")


# ------------------------------------------------------------------ tampering and lost entries


def swap(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


TAMPERED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "less noise was drawn": lambda lines: [line.replace(b":1000.0", b":9000.0") for line in lines],
    "a reservation dropped": lambda lines: [lines[0], *lines[2:]],
    "two lines exchanged": swap,
    "the last line dropped": lambda lines: lines[:-1],
    "all lines dropped": lambda lines: [],
}


@pytest.mark.parametrize("how", TAMPERED)
def test_a_tampered_ledger_is_refused(ledger: Ledger, tmp_path: Path, how: str) -> None:
    release(ledger, 0)
    path = file_of(tmp_path)
    path.write_bytes(b"".join(line + b"\n" for line in TAMPERED[how](path.read_bytes().splitlines())))
    refuse_everything(ledger)


def refuse_everything(ledger: Ledger) -> None:
    calls: list[Callable[[], object]] = [
        ledger.status,
        ledger.verify,
        lambda: ledger.kept("run", 0, PLAN),
        lambda: ledger.reserve("run", "job", 1, PLAN),
        lambda: ledger.keep(Reservation("0" * 32, "run", "job", 0, PLAN), b"raw"),
        lambda: ledger.bytes_to_send("0" * 32),
    ]
    for call in calls:
        with pytest.raises(LedgerError, match=r"ledger\.jsonl") as refused:
            call()
        assert refused.value.exit_code == 12
        assert "\n" not in str(refused.value)


def contradicting(kind: str, known: str) -> dict[str, Any]:
    """Returns an entry that a chain takes, but that no ledger would have written after one release that was sent."""
    spent = {"spent_epsilon": 0, "spent_delta": 0}
    event = PLAN.event.model_dump()
    reserved = {"kind": "reserved", "run_key": "run", "job_id": "j", "round": 1, "event": event, **spent}
    return {
        "reserved twice": reserved | {"release_id": known, "planned": 3, "draws": 3, "job_delta": 5e-4},
        "another plan": reserved | {"release_id": "0" * 32, "planned": 9, "draws": 3, "job_delta": 5e-4},
        "another grant": reserved | {"release_id": "0" * 32, "planned": 3, "draws": 2, "job_delta": 5e-4},
        "kept twice": {"kind": "kept", "release_id": known, "sha256": "0" * 64, "file": "f", **spent},
        "kept unreserved": {"kind": "kept", "release_id": "0" * 32, "sha256": "0" * 64, "file": "f", **spent},
        "sent unkept": {"kind": "sent", "release_id": "0" * 32, **spent},
        "another unit": {"kind": "opened", "cohort": COHORT, "unit": "hospital", "epsilon": 8, "delta": 1e-3, **spent},
        "a refund": {"kind": "gap", "epsilon": -5, "delta": 0, "operator": "o", "reason": "r", **spent},
        "an unknown kind": {"kind": "refund", "epsilon": 5, **spent},
        "an unknown key": {"kind": "sent", "release_id": known, "to": "server", **spent},
    }[kind]


KINDS = [
    "reserved twice",
    "another plan",
    "another grant",
    "kept twice",
    "kept unreserved",
    "sent unkept",
    "another unit",
]


@pytest.mark.parametrize("kind", [*KINDS, "a refund", "an unknown kind", "an unknown key"])
def test_an_entry_that_contradicts_the_others_is_refused(ledger: Ledger, tmp_path: Path, kind: str) -> None:
    known = release(ledger, 0)
    Chain(file_of(tmp_path)).append(contradicting(kind, known))
    with pytest.raises(LedgerError, match=r"^line 5 of the ledger (should not be there|is no entry of this version)"):
        ledger.verify()


def test_a_ledger_that_does_not_say_whose_it_is_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    Chain(file_of(tmp_path)).append(contradicting("sent unkept", ""))
    with pytest.raises(LedgerError, match="does not say which cohort it is about"):
        ledger.reserve("run", "job", 0, PLAN)


def test_an_older_copy_is_refused_until_a_person_answers_for_it(ledger: Ledger, tmp_path: Path) -> None:
    release(ledger, 0)
    older = file_of(tmp_path).read_bytes()
    ledger.reserve("second", "job", 0, PLAN)
    lost = planned_epsilon(PLAN)
    file_of(tmp_path).write_bytes(older)
    refuse_everything(ledger)
    for too_little in ((lost / 2, 5e-4), (lost, 4e-4), (0, 0)):
        with pytest.raises(LedgerError, match=r"known to have cost at least epsilon 0\.\d+ and delta 0\.0005"):
            ledger.record_gap(*too_little, "J. Doe", "restored from Monday")
    refuse_everything(ledger)
    status = ledger.record_gap(1.0, 5e-4, " J. Doe ", "restored from Monday")
    assert status == ledger.status()
    assert status.spent_epsilon == pytest.approx(lost + 1.0)
    assert [(gap.operator, gap.epsilon) for gap in status.gaps] == [("J. Doe", 1.0)]
    with pytest.raises(BudgetExceededError, match=r"delta 0\.001 are spent"):
        ledger.reserve("third", "job", 0, PLAN)


def test_a_run_from_before_a_gap_takes_no_more_draws_but_sends_what_it_kept(ledger: Ledger, tmp_path: Path) -> None:
    """The copy knows one draw of three, but all three may have been used: they are charged, and cannot be counted."""
    release_id = release(ledger, 0)
    older = file_of(tmp_path).read_bytes()
    for round_index in (1, 2):
        release(ledger, round_index)
    file_of(tmp_path).write_bytes(older)
    assert ledger.record_gap(0, 0, "J. Doe", "restored").runs[0].closed, "the lost draws were of a plan that is charged"
    with pytest.raises(LedgerError, match="began before entries of the ledger were lost"):
        ledger.reserve("run", "job", 1, PLAN)
    assert ledger.bytes_to_send(release_id) == b"noised"
    ledger.reserve("new-run", "job", 1, PLAN)


@pytest.mark.parametrize("head", ["kept", "damaged", "missing"])
def test_a_ledger_that_is_gone_needs_a_gap(ledger: Ledger, tmp_path: Path, head: str) -> None:
    release(ledger, 0)
    file_of(tmp_path).unlink()
    head_file = file_of(tmp_path).with_name("head.json")
    if head == "damaged":
        head_file.write_text("...")
    if head == "missing":
        head_file.unlink()
    refuse_everything(ledger)
    ledger.record_gap(2.0, 5e-4, "J. Doe", "disk failed")
    assert [body["kind"] for body in bodies(tmp_path)] == ["opened", "gap"]
    assert (ledger.status().spent_epsilon, ledger.status().spent_delta) == (2.0, 5e-4)
    ledger.verify()


def test_of_a_ledger_that_is_gone_with_all_it_released_only_a_witness_outside_can_tell(
    ledger: Ledger, tmp_path: Path
) -> None:
    release(ledger, 0)
    shutil.rmtree(file_of(tmp_path).parent)
    assert ledger.status().entries == 0
    ledger.reserve("run", "job", 0, PLAN)
    assert ledger.status().entries == 2, "a draw that was never kept has no bytes"


def test_a_gap_has_a_person_and_a_reason(ledger: Ledger) -> None:
    for values in ((1.0, 0.1, " ", "why"), (1.0, 0.1, "who", ""), (-1.0, 0.1, "who", "why"), (1.0, 1.0, "who", "why")):
        with pytest.raises((ConfigError, LedgerError)):
            ledger.record_gap(*values)
    with pytest.raises(ConfigError, match="finite"):
        ledger.record_gap(float("nan"), 0.1, "who", "why")
    assert ledger.status().entries == 0


def test_a_restored_folder_is_told_by_what_was_noted_outside(ledger: Ledger, tmp_path: Path) -> None:
    known = release(ledger, 0)
    head = ledger.status().head
    shutil.copytree(tmp_path / COHORT, tmp_path / "backup")
    later = release(ledger, 1)
    later_head = ledger.status().head
    for noted in (known, later, head, later_head):
        ledger.verify(noted)
    shutil.rmtree(tmp_path / COHORT)
    shutil.move(tmp_path / "backup", tmp_path / COHORT)
    assert ledger.verify() == (), "from the inside, an older copy of everything looks well"
    for noted in (later, later_head):
        with pytest.raises(LedgerError, match=f"does not know {noted}: it is an older copy"):
            ledger.verify(noted)
    ledger.verify(head)


def test_a_release_that_was_only_reserved_is_nothing_to_note(ledger: Ledger) -> None:
    reservation = ledger.reserve("run", "job", 0, PLAN)
    with pytest.raises(LedgerError, match="does not know"):
        ledger.verify(reservation.release_id)


# ------------------------------------------------------------------ processes


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: these tests write thousands of times, and a kill is no power cut."""
    memory = Path("/dev/shm")  # noqa: S108
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


def processes(function: str, *arguments: str) -> dict[str, Any]:
    program = f"import sys; from pathlib import Path; from tests.privacy.ledger_processes import {function} as run; "
    program += "run(Path(sys.argv[1]), *sys.argv[2:])"
    paths = os.environ | {"PYTHONPATH": f"{ROOT / 'app_custom'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=paths, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_killed_at_every_line_nothing_is_forgotten(quick_folder: Path) -> None:
    result = processes("kill_at_every_line", str(quick_folder))
    assert result["wrong"] == []
    assert result["tries"] > 100
    assert result["redrawn"] > 10, "some kills cost a draw"


def test_killed_at_any_time_nothing_is_forgotten(quick_folder: Path) -> None:
    result = processes("kill_at_any_time", str(quick_folder))
    assert result["wrong"] == []
    assert result["sent"] >= 5


def test_the_last_of_a_budget_goes_to_one_of_two_processes(quick_folder: Path) -> None:
    result = processes("race", str(quick_folder), "budget")
    assert 4 < result["epsilon"] < 8
    assert result["codes"] == [[0, BudgetExceededError.exit_code]] * 12


def test_the_last_draw_of_a_run_goes_to_one_of_two_processes(quick_folder: Path) -> None:
    result = processes("race", str(quick_folder), "draw")
    assert result["codes"] == [[0, BudgetExceededError.exit_code]] * 12
