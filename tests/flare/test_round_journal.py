"""A run that is taken up from its journal after any round goes on as if it had never been interrupted, bit for bit."""

import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, JobError, LedgerError
from fedvoxel.federation.attempts import Attempt, attempt_at, is_stuck, repeated_rounds
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.recorder import RunRecorder
from fedvoxel.federation.round_notes import RoundNotes
from fedvoxel.federation.round_worth import RoundWorth
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.run_identity import RunIdentity
from fedvoxel.federation.run_state import RunState, model_in
from fedvoxel.federation.selection import Selector
from fedvoxel.federation.snapshot import Snapshot
from fedvoxel.federation.vetting import Vetting
from fedvoxel.flare.round_journal import JournalEntry, RoundJournal
from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
from fedvoxel.privacy.noise import SecureNoise
from fedvoxel.privacy.sections import HospitalMechanismConfig
from fedvoxel.records.chain import Chain
from fedvoxel.updates.correction import Scaffold, with_controls
from fedvoxel.updates.secure.grid import to_steps
from fedvoxel.updates.update import Update
from fedvoxel.updates.weights_file import to_bytes

SITES = ("d", "a", "c", "b", "e")
"""Not sorted: the order in which sites come is part of what has to be kept."""

# Not sorted either: a network's order.
MODEL = {"z": np.linspace(-1, 1, 120, dtype=np.float32).reshape(12, 10), "b": np.zeros(7, np.float32)}
ROUNDS = 6
PRIVATE = {
    "unit": "hospital",
    "clip_norm": 2.0,
    "noise_multiplier": 0.3,
    "sites": 5,
    "delta": 1e-5,
    "adaptive_clip": {
        "quantile": 0.5,
        "learning_rate": 1.0,
        "count_noise_multiplier": 0.5,
        "least_clip_norm": 0.1,
        "greatest_clip_norm": 8.0,
    },
}
STRATEGIES: dict[str, dict[str, Any]] = {
    "FedAvg": {},
    "momentum": {"server_optimizer": {"name": "momentum"}},
    "adam": {"server_optimizer": {"name": "adam"}},
    "yogi": {"server_optimizer": {"name": "yogi"}},
    "scaffold": {"correction": {"name": "scaffold"}},
    "feddyn": {"correction": {"name": "feddyn"}},
    "norm_bound": {"aggregation": {"name": "norm_bound", "most_norm": 0.8}},
    "median": {"aggregation": {"name": "median"}},
    "trimmed_mean": {"aggregation": {"name": "trimmed_mean"}},
    "multi_krum": {"aggregation": {"name": "multi_krum"}, "min_sites": 5},
    "geometric_median": {"aggregation": {"name": "geometric_median"}},
    "random codec": {"compression": {"up": {"name": "int8"}, "down": {"name": "int8"}}},
    "thin factors": {"compression": {"down": {"name": "powersgd", "rank": 2}}},
    "guarded": {"compression": {"up": {"name": "int4"}, "down": {"name": "int4"}, "guard_dice": 0.01}},
    "scaffold, encoded": {"correction": {"name": "scaffold"}, "compression": {"down": {"name": "topk"}}},
    "random sites": {"selection": {"name": "random", "fraction": 0.5}},
    "by cases": {"selection": {"name": "by_cases", "fraction": 0.5}},
    "power of choice": {"selection": {"name": "power_of_choice", "fraction": 0.5}},
    "oort": {"selection": {"name": "oort", "fraction": 0.5}},
    "deadline": {"selection": {"name": "deadline", "fraction": 0.6, "deadline_s": 39}},
    "secure sums": {"secure_aggregation": {"bits": 16}},
    "contribution": {"contribution": {"method": "agreement"}},
    "hospital": {"privacy": PRIVATE},
}


class Repeatable(SecureNoise):
    """Is noise that a test can draw again: it follows from how much was drawn before in its round."""

    def __init__(self) -> None:
        self.round = 0

    def discrete_gaussian(self, shape: tuple[int, ...], sigma: int) -> Any:
        drawn = np.random.default_rng((self.round, *shape)).normal(0, sigma, shape)
        return np.asarray(drawn).astype(np.int64)


def started(strategy: dict[str, Any], model: Any) -> RunState:
    """Returns a run before its first round."""
    section = {"num_rounds": ROUNDS, "min_sites": 3} | {key: strategy[key] for key in strategy if key != "privacy"}
    config = parse_config(RoundsConfig, section, "rounds")
    mechanism = None
    if "privacy" in strategy:
        mechanism = HospitalMechanism(HospitalMechanismConfig.model_validate(PRIVATE), Repeatable())
    rounds = Rounds(config, model, mechanism)
    vetting = Vetting("a_run", {}, private=mechanism is not None)
    vetting.begins(rounds.model)
    worth = RoundWorth(config.contribution, rounds, list(SITES), lambda *_: None) if config.contribution else None
    identity = RunIdentity("a_run", "job-1", "a_run", SITES, ROUNDS, {}, datetime(2026, 1, 1, tzinfo=UTC))
    return RunState(rounds, Selector(config.selection, SITES, 3), vetting, RunRecorder(identity), worth)


def play(run: RunState, commit: Callable[[], None] = lambda: None) -> None:
    """Plays one round: updates, scores and losses follow from the site, the round and the model alone."""
    rounds, index, before = run.rounds, run.rounds.round, run.rounds.model
    if rounds._mechanism:
        rounds._mechanism._noise.round = index
    notes, updates = RoundNotes(seconds=1.5, codecs={"up": "x"}), {}
    chosen = run.selector.choose(index).asked
    asked = [site for site in SITES if site in chosen]
    for site in asked:
        random = np.random.default_rng((index, ord(site)))
        pull = random.normal(0, 0.1, ())
        moves = {name: (0.1 * array * pull + random.normal(0, 0.1, array.shape)).astype(np.float32)
                 for name, array in rounds.model.items()}  # fmt: skip
        if isinstance(rounds.config.correction, Scaffold):
            moves = with_controls(moves, {name: array * np.float32(0.5) for name, array in moves.items()})
        updates[site] = Update(moves, 1 if rounds._mechanism else 5 + ord(site) % 7)
        notes.contributed[site], notes.loss[site] = updates[site].case_count, float(abs(pull))
    if rounds.scale:
        _sum_up(rounds, updates)
    for site, update in updates.items():
        if not rounds.scale:
            run.vetting.accept(site, update, run.vetting.check(site, update, rounds.layout), index)
            rounds.add(site, update)
        dice = 0.9 - 0.1 * index + ord(site) / 3000
        rounds.add_validation(site, ValidationScore(cases=2 + ord(site) % 3, dice={"organ": dice, "other": None}))
    if run.worth:
        notes.contribution = run.worth.of(updates)
        assert notes.contribution
        notes.contribution = notes.contribution.model_copy(update={"seconds": 0.0})
    run.recorder.close_round(notes)
    for site in asked:
        run.selector.note(site, index, notes.contributed[site], notes.loss[site], float(ord(site) - 60))
    rounds.close_round(commit)
    run.vetting.moved(index, before, rounds.model)


def _sum_up(rounds: Rounds, updates: dict[str, Update]) -> None:
    assert rounds.scale
    steps, most = rounds.scale.steps(len(updates)), rounds.scale.ring.most(len(updates))
    total = {name: np.zeros(array.shape, np.int64) for name, array in MODEL.items()}
    for seed, update in enumerate(updates.values()):
        weighed = {name: array * np.float32(update.case_count) for name, array in update.arrays.items()}
        whole, _ = to_steps(weighed, steps, most, np.random.default_rng(seed))
        total = {name: total[name] + whole[name] for name in total}
    rounds.add_sum(total, steps, sum(update.case_count for update in updates.values()), list(updates))


def told(run: RunState) -> tuple[Any, ...]:
    """Returns all that a run would tell the sites next, and all that it would leave."""
    rounds, outcome = run.rounds, run.recorder.outcome("finished", None, datetime(2026, 1, 2, tzinfo=UTC), run.rounds)
    sent, snapshot = rounds.broadcast, run.snapshot()
    arrays = {group: to_bytes(named) for group, named in snapshot.arrays.items()}
    return (
        outcome.model_dump_json(),
        (sent.base, sent.payload, to_bytes(sent.held), to_bytes(rounds.model), rounds.best_round, rounds.best_score),
        (rounds.best_model is rounds.model, list(rounds.model), rounds.last_accepted, rounds.up, rounds.down),
        (json.dumps(snapshot.values), arrays),
    )


def entry(**values: Any) -> JournalEntry:
    return JournalEntry(run_key="a_run", run_id="0" * 32, job="0" * 64, sites=SITES, **values)


def through_journal(folder: Path, strategy: dict[str, Any], run: RunState) -> RunState:
    """Returns the run as another process takes it up."""
    journal = RoundJournal(folder)
    with journal.writing():
        journal.write(entry(number=run.rounds.round, committed=run.rounds.round), run.snapshot())
    found = RoundJournal(folder).read()
    assert found and found.committed == run.rounds.round
    kept = journal.state(found)
    again = started(strategy, model_in(kept))
    again.restore(kept)
    return again


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_run_that_is_taken_up_after_each_round_ends_as_one_that_never_stopped(name: str, tmp_path: Path) -> None:
    whole, again = started(STRATEGIES[name], MODEL), started(STRATEGIES[name], MODEL)
    for _ in range(ROUNDS):
        again = through_journal(tmp_path, STRATEGIES[name], again)
        play(whole)
        play(again)
        assert told(again) == told(whole)
    if name == "guarded":
        assert whole.rounds.up != whole.rounds.config.compression.up, "the guard has not stepped back: nothing is shown"


@pytest.mark.parametrize("name", ["adam", "scaffold, encoded", "guarded", "secure sums", "hospital", "oort"])
def test_a_round_that_cannot_be_committed_leaves_everything_as_it_was(name: str) -> None:
    run = started(STRATEGIES[name], MODEL)
    play(run)
    before, snapshot = run.rounds.round, run.rounds.snapshot()

    def full_disk() -> None:
        assert run.rounds.round == before + 1
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        play(run, full_disk)
    after = run.rounds.snapshot()
    assert run.rounds.round == before and after.values == snapshot.values
    assert {name: to_bytes(named) for name, named in after.arrays.items()} == {
        name: to_bytes(named) for name, named in snapshot.arrays.items()
    }


def test_something_left_out_of_a_snapshot_is_seen(tmp_path: Path) -> None:
    whole, again = started(STRATEGIES["adam"], MODEL), started(STRATEGIES["adam"], MODEL)
    for run in (whole, again):
        play(run)
    kept = again.snapshot()
    lost = {group: named for group, named in kept.arrays.items() if "optimizer" not in group}
    lost |= {"rounds/optimizer/first": {}, "rounds/optimizer/second": {}}
    again.restore(Snapshot(kept.values, lost))
    play(whole)
    play(again)
    assert told(again) != told(whole)


def written(folder: Path) -> RoundJournal:
    """Returns a journal with a run after its first round."""
    run, journal = started(STRATEGIES["adam"], MODEL), RoundJournal(folder)
    play(run)
    with journal.writing():
        journal.write(entry(committed=1), run.snapshot())
    return journal


def damaged(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "gone":
        path.unlink()
        return
    if kind == "changed":
        content[len(content) // 2] ^= 1
    path.write_bytes({"changed": bytes(content), "cut": bytes(content[:-9]), "empty": b"", "other": b"{}"}[kind])


@pytest.mark.parametrize("kind", ["changed", "cut", "empty", "other", "gone"])
def test_bytes_that_change_in_one_copy_of_every_file_cost_nothing(kind: str, tmp_path: Path) -> None:
    journal = written(tmp_path)
    sound = journal.read()
    assert sound
    state = journal.state(sound)
    for number, path in enumerate(sorted(tmp_path.glob("*.[jn][sp]*"))):
        if (".copy" in path.name) == bool(number % 2):
            damaged(path, kind)
    found = RoundJournal(tmp_path).read()
    assert found == sound
    assert journal.state(found).values == state.values


@pytest.mark.parametrize("kind", ["changed", "cut", "empty", "other"])
@pytest.mark.parametrize("files", ["journal*.json", "*.npz"])
def test_a_journal_that_is_damaged_in_both_copies_is_refused(files: str, kind: str, tmp_path: Path) -> None:
    journal = written(tmp_path)
    for path in tmp_path.glob(files):
        damaged(path, kind)
    with pytest.raises(ConfigError, match="damaged, in both of its copies"):
        journal.read()


def test_a_copy_that_is_far_too_large_is_as_one_that_is_damaged(tmp_path: Path) -> None:
    journal = written(tmp_path)
    sound = journal.read()
    assert sound
    for path in (tmp_path / "journal.json", *tmp_path.glob("*.copy.npz")):
        os.truncate(path, 2**36)
    assert journal.read() == sound and journal.state(sound).values == sound.values
    os.truncate(tmp_path / "journal.copy.json", 2**36)
    with pytest.raises(ConfigError, match="damaged, in both of its copies"):
        journal.read()


def test_an_entry_without_end_is_damaged(tmp_path: Path) -> None:
    journal, nested = written(tmp_path), b"[" * 100_000 + b"]" * 100_000
    for name in ("journal.json", "journal.copy.json"):
        (tmp_path / name).write_bytes(hashlib.sha256(nested).hexdigest().encode() + b"\n" + nested)
    with pytest.raises(ConfigError, match="damaged, in both of its copies"):
        journal.read()


@pytest.mark.parametrize("spoil", ["part", "value", "model", "infinite"])
def test_a_state_that_is_none_of_the_jobs_run_is_not_taken_back(spoil: str) -> None:
    run = started(STRATEGIES["adam"], MODEL)
    play(run)
    kept = run.snapshot()
    values, arrays = dict(kept.values), dict(kept.arrays)
    if spoil == "part":
        del values["recorder"]
    elif spoil == "value":
        values["selector"] = dict.fromkeys(SITES, "x")
    elif spoil == "model":
        del arrays["rounds/own/model"]
    else:
        arrays["rounds/own/model"] = {"z": np.full((12, 10), np.inf, np.float32), "b": MODEL["b"]}
    with pytest.raises(ConfigError, match="a state that is none of this job's run"):
        started(STRATEGIES["adam"], model_in(Snapshot(values, arrays))).restore(Snapshot(values, arrays))


def test_of_two_copies_that_differ_the_newer_counts(tmp_path: Path) -> None:
    journal = written(tmp_path)
    first = journal.read()
    assert first
    older = (tmp_path / "journal.copy.json").read_bytes()
    with journal.writing():
        newer = journal.write(first.changed(ended="failed"))
    (tmp_path / "journal.copy.json").write_bytes(older)
    assert journal.read() == newer
    (tmp_path / "journal.json").write_bytes(older)
    assert journal.read() == first


def test_only_what_the_next_attempt_needs_stays_on_disk(tmp_path: Path) -> None:
    run, journal = started(STRATEGIES["scaffold, encoded"], MODEL), RoundJournal(tmp_path)
    sizes = []
    for index in range(4):
        play(run)
        with journal.writing():
            (tmp_path / ".journal.json.cut-short").write_text("half")
            journal.write(entry(number=index, committed=index + 1), run.snapshot())
        sizes.append(len(list(tmp_path.iterdir())))
    assert len(set(sizes[1:])) == 1 and not list(tmp_path.glob(".*"))


def test_two_jobs_never_write_one_journal(tmp_path: Path) -> None:
    journal = RoundJournal(tmp_path)
    refused = pytest.raises(JobError, match="another job of this run is running")
    with journal.writing(), refused, RoundJournal(tmp_path).writing():
        pass
    with RoundJournal(tmp_path).writing():
        pass


def test_no_journal_is_no_run(tmp_path: Path) -> None:
    assert RoundJournal(tmp_path / "none").read() is None


@pytest.mark.parametrize(
    ("first_rounds", "numbers"),
    [((0,), (1, 1, 1, 1)), ((0, 0), (2, 1, 1, 1)), ((0, 2, 2), (1, 1, 3, 1)), ((0, 0, 1, 3), (2, 2, 1, 2))],
)
def test_attempts_are_counted_in_the_round_that_they_stood_in(first_rounds: Any, numbers: Any) -> None:
    attempts = [Attempt(job_id="job", started=datetime.now(UTC), first_round=first) for first in first_rounds]
    assert tuple(attempt_at(attempts, index) for index in range(4)) == numbers


def test_attempts_say_what_was_repeated_and_when_to_give_up() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    attempts = [Attempt(job_id=str(first), started=began, first_round=first) for first in (0, 2, 2, 3, 3, 3)]
    assert repeated_rounds(attempts, 10) == (2, 3) and repeated_rounds(attempts, 3) == (2,)
    assert is_stuck(attempts, 3) and not is_stuck(attempts, 4) and not is_stuck(attempts[:-1], 3)


def test_a_backup_is_not_kept_out_by_a_run_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedvoxel.records.chain.LOCK_TIMEOUT_S", 0.2)
    journal = RoundJournal(tmp_path / "journal")
    locked, refused = Chain(tmp_path / "journal" / "any").held(), pytest.raises(LedgerError, match="by another process")
    with journal.writing(), locked, refused:
        journal.write(JournalEntry(run_key="run", run_id="0" * 32, job="0" * 64, sites=()))
