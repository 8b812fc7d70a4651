"""Hospital-level noise in the controller: clipped, noised once, on disk and in the ledger before it leaves.

The sites here all send the same large update, so that what is released is the clip bound's share of it, and the noise.
"""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from nvflare.apis.controller_spec import Task
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.errors import LedgerError
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.federation.run_state import RunState
from fedvoxel.flare.messages import TASK_TRAIN, result_reply
from fedvoxel.flare.run_files import GLOBAL_MODEL_FILE
from fedvoxel.flare.run_journal import RunJournal
from fedvoxel.privacy import hospital_mechanism
from fedvoxel.privacy.clipping import clip_update
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
from fedvoxel.privacy.noise import SecureNoise
from fedvoxel.privacy.sections import HospitalMechanismConfig
from fedvoxel.privacy.server_ledger import Received, Released, ServerLedger
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.updates.compression.config import READ_CODEC
from fedvoxel.updates.compression.payload import PAYLOAD, as_array, encode
from tests.flare.test_controller import FakeSites, run_sites, well_behaved

SITES = ("hospital-a", "hospital-b", "hospital-c")
SIZE = 40_000
MODEL = {"weight": np.zeros((200, 200), np.float32)}
SECTION = {"unit": "hospital", "clip_norm": 2.0, "noise_multiplier": 5.0, "sites": 4, "delta": 1e-5}
QUIET = {**SECTION, "noise_multiplier": None}
SHARE = SECTION["clip_norm"] / np.sqrt(SIZE) / 4
"""What one site's clipped update adds to each parameter."""


def reply(value: float = 0.5, case_count: Any = 1, release_id: Any = None) -> Shareable:
    meta = {"release_id": release_id or secrets.token_hex(16), "case_count": case_count}
    return result_reply(meta, {"weight": np.full_like(MODEL["weight"], value)}, difference=True)


def site(*replies: Callable[[], Shareable]) -> Callable[[str], list[Shareable]]:
    """Returns a site that answers so in every round, and draws the zero model from the seed."""

    def answer(task: str) -> list[Shareable]:
        if task == TASK_TRAIN:
            return [make() for make in replies or (reply,)]
        return [result_reply({}, MODEL, difference=False)]

    return answer


def run(folder: Path, section: dict[str, Any], sites: Any = None, **rounds: Any) -> RunOutcome:
    answers = sites or dict.fromkeys(SITES, site())
    return run_sites(folder, answers, **{"privacy": section, "evaluate": False, "num_rounds": 1} | rounds)


def released(folder: Path) -> np.ndarray:
    return np.load(folder / "job-1" / GLOBAL_MODEL_FILE)["weight"].astype(np.float64)


def check_mean(folder: Path, sites: int) -> None:
    """Fails if what left is not the clipped mean of so many sites over four."""
    np.testing.assert_allclose(released(folder), sites * SHARE, rtol=1e-5)


def check_noise(folder: Path, sites: int = 3) -> None:
    """Fails if the noise on what left is not the stated one (within 3 %, a false alarm in 10^9)."""
    noise = (released(folder) - sites * SHARE).std() * 4 / (5.0 * 2.0)
    assert 0.97 < noise < 1.03, f"the noise is {noise:.2f} of what is accounted for"


def test_each_update_is_clipped_and_the_sum_is_divided_by_the_public_number_of_sites(tmp_path: Path) -> None:
    outcome = run(tmp_path, QUIET)
    assert outcome.status == "finished" and outcome.guarantee is None
    check_mean(tmp_path, 3)
    assert set(outcome.rounds[0].contributed.values()) == {1} and outcome.rounds[0].loss == {}


def test_what_is_decoded_is_clipped_again_whatever_a_site_has_sent(tmp_path: Path) -> None:
    codec = {"name": "int8"}

    def encoded() -> Shareable:
        large = {"weight": np.full_like(MODEL["weight"], 0.5)}
        payload, _ = encode(large, READ_CODEC.validate_python(codec), np.random.default_rng(1), {})
        meta = {"release_id": secrets.token_hex(16), "case_count": 1}
        return result_reply(meta, {PAYLOAD: as_array(payload)}, difference=True)

    sites = dict.fromkeys(SITES, site(encoded))
    outcome = run(tmp_path, QUIET, sites, compression={"up": codec})
    assert outcome.status == "finished", outcome.reason
    np.testing.assert_allclose(released(tmp_path), 3 * SHARE, rtol=1e-2)
    assert np.linalg.norm(released(tmp_path)) <= 3 * SECTION["clip_norm"] / 4


def test_a_round_without_one_site_keeps_its_denominator(tmp_path: Path) -> None:
    run(tmp_path, QUIET, dict.fromkeys(SITES[:2], site()))
    check_mean(tmp_path, 2)


def test_a_missing_clip_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HospitalMechanism, "clip", lambda self, arrays: clip_update(arrays, 1000.0))
    outcome = run(tmp_path, QUIET)
    assert outcome.status == "failed" and "wrong clip bound" in str(outcome.reason)
    monkeypatch.setattr(hospital_mechanism, "clip_update", lambda arrays, clip_norm: arrays)
    monkeypatch.setattr(HospitalMechanism, "clip", lambda self, arrays: arrays)
    outcome = run(tmp_path, QUIET)
    assert outcome.status == "failed" and "expected a ClippedUpdate" in str(outcome.reason)


def test_the_noise_is_the_stated_one_and_the_claim_is_that_of_all_rounds(tmp_path: Path) -> None:
    outcome = run(tmp_path, SECTION, num_rounds=2)
    assert outcome.status == "finished"
    expected = HospitalMechanism(HospitalMechanismConfig.model_validate(SECTION)).guarantee(2)
    assert outcome.guarantee == expected and outcome.guarantee and outcome.privacy == outcome.guarantee.said()
    assert "trusted" in outcome.guarantee.adversary and "no round samples" in outcome.guarantee.composition


def test_halved_noise_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, SECTION)
    check_noise(tmp_path)
    whole = SecureNoise.discrete_gaussian
    monkeypatch.setattr(SecureNoise, "discrete_gaussian", lambda self, shape, sigma: whole(self, shape, sigma // 2))
    run(tmp_path, SECTION, run_key="another_run")
    with pytest.raises(AssertionError, match=r"0\.50 of what is accounted for"):
        check_noise(tmp_path)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda: reply(case_count=2), "counts as 1"),
        (lambda: reply(case_count=True), "counts as 1"),
        (lambda: reply(case_count=1.0), "counts as 1"),
        (lambda: reply(release_id="f" * 31), "id of a release"),
        (lambda: reply(release_id=7), "id of a release"),
        (lambda: result_reply({"case_count": 1}, MODEL, difference=True), "id of a release"),
        (lambda: result_reply({"release_id": "f" * 32, "case_count": 1}, MODEL, difference=False), "full weights"),
        (lambda: reply(np.nan), "non-finite"),
    ],
    ids=["two cases", "true", "one in decimals", "a short id", "a number", "no id", "full weights", "NaN"],
)
def test_an_update_that_the_mechanism_does_not_know_is_refused(
    bad: Callable[[], Shareable], reason: str, tmp_path: Path
) -> None:
    outcome = run(tmp_path, QUIET, dict.fromkeys(SITES[:2], site()) | {"hospital-c": site(bad)})
    assert outcome.status == "finished" and reason in outcome.rounds[0].refused["hospital-c"]
    check_mean(tmp_path, 2)
    assert len(entries(tmp_path)[0]) == 2, "a receipt is for an accepted update"


def test_the_same_release_counts_in_one_round_only(tmp_path: Path) -> None:
    again = {"hospital-c": site(lambda: reply(release_id="c" * 32))}
    outcome = run(tmp_path, QUIET, dict.fromkeys(SITES[:2], site()) | again, num_rounds=2)
    assert "received before" in outcome.rounds[1].refused["hospital-c"] and outcome.rounds[0].refused == {}


def test_a_release_of_another_run_does_not_count(tmp_path: Path) -> None:
    run(tmp_path, QUIET, num_rounds=1)
    stolen = entries(tmp_path)[0][0].release_id
    answers = dict.fromkeys(SITES[:2], site()) | {"hospital-c": site(lambda: reply(release_id=stolen))}
    outcome = run(tmp_path, QUIET, answers, run_key="another_run")
    assert "received before" in outcome.rounds[0].refused["hospital-c"]


def entries(folder: Path) -> tuple[list[Received], list[Released]]:
    _, all_entries = ServerLedger(folder / "state").read()
    of = {kind: [entry for entry in all_entries if isinstance(entry, kind)] for kind in (Received, Released)}
    return of[Received], of[Released]


def test_the_ledger_says_what_was_received_and_what_was_released(tmp_path: Path) -> None:
    outcome = run(tmp_path, SECTION, num_rounds=2)
    received, out = entries(tmp_path)
    assert sorted((one.round, one.site) for one in received) == [(index, name) for index in range(2) for name in SITES]
    assert [one.round for one in out] == [0, 1] and {one.event.noise_multiplier for one in out} == {5.0}
    assert outcome.model and out[-1].sha256 == outcome.model.sha256
    assert out[-1].sha256 == sha256_of_file(tmp_path / "state/runs/a_run" / GLOBAL_MODEL_FILE)


class Watching(FakeSites):
    """Looks, whenever a model is sent, whether its bytes are in the ledger and on disk."""

    seen: ClassVar[list[tuple[int, bool]]] = []

    def broadcast(self, task: Task, fl_ctx: FLContext, targets: list[str], *rest: Any) -> None:
        if task.name == TASK_TRAIN:
            state = Path(fl_ctx.get_engine().get_root_dir()) / "state"
            out = [one for one in ServerLedger(state).read()[1] if isinstance(one, Released)]
            path = state / "runs/a_run" / GLOBAL_MODEL_FILE
            on_disk = path.is_file() and out[-1].sha256 == sha256_of_file(path)
            self.seen.append((len(out), on_disk))
        super().broadcast(task, fl_ctx, targets, *rest)


def test_a_model_is_on_disk_and_in_the_ledger_before_it_is_sent(tmp_path: Path) -> None:
    Watching.seen = []
    run(tmp_path, SECTION, kind=Watching, num_rounds=3)
    assert Watching.seen == [(0, False), (1, True), (2, True)]


class Listening(FakeSites):
    """Notes the privacy section that each round says the server works under."""

    heard: ClassVar[list[Any]] = []

    def broadcast(self, task: Task, fl_ctx: FLContext, targets: list[str], *rest: Any) -> None:
        if task.name == TASK_TRAIN:
            self.heard.append(FLModelUtils.from_shareable(task.data).meta["privacy"])
        super().broadcast(task, fl_ctx, targets, *rest)


@pytest.mark.parametrize("section", [None, SECTION])
def test_every_round_says_under_which_section_the_server_works(section: Any, tmp_path: Path) -> None:
    Listening.heard = []
    run(tmp_path, section, kind=Listening, num_rounds=2)
    assert Listening.heard == [section, section]


def test_a_release_that_the_ledger_does_not_take_never_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = ServerLedger.release

    def full_disk(self: ServerLedger, entry: Released) -> None:
        if entry.round == 1:
            raise LedgerError("server.jsonl cannot be read or written (No space left on device)")
        written(self, entry)

    monkeypatch.setattr(ServerLedger, "release", full_disk)
    outcome = run(tmp_path, SECTION, num_rounds=3)
    assert (outcome.status, outcome.rounds_committed) == ("failed", 1) and "No space left" in str(outcome.reason)
    (only,) = entries(tmp_path)[1]
    assert outcome.model and outcome.model.sha256 == only.sha256, "what is left is what was released"


def test_a_run_that_has_released_is_not_run_again_under_its_key(tmp_path: Path) -> None:
    first = run(tmp_path, SECTION)
    asked: list[str] = []

    def answer(task: str) -> list[Shareable]:
        asked.append(task)
        return site()(task)

    second = run(tmp_path, SECTION, dict.fromkeys(SITES, answer))
    assert second.status == "finished" and "had finished before" in str(second.reason) and asked == []
    assert load_outcome(tmp_path / "state/runs/a_run" / OUTCOME_FILE) == first, "the first run's record stands"


def test_a_round_that_is_in_the_journal_and_not_in_the_ledger_is_released_once_with_the_noise_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {name: secrets.token_hex(16) for name in SITES}
    sites = {name: site(lambda release_id=release_id: reply(release_id=release_id)) for name, release_id in ids.items()}
    with monkeypatch.context() as broken:
        broken.setattr(ServerLedger, "release", lambda self, entry: (_ for _ in ()).throw(LedgerError("no disk")))
        assert run(tmp_path, SECTION, sites).status == "failed" and entries(tmp_path)[1] == []
    assert run(tmp_path, SECTION, sites).status == "finished"
    received, out = entries(tmp_path)
    assert {one.release_id for one in received} == set(ids.values()) and len(received) == 3 and len(out) == 1
    assert out[0].sha256 == sha256_of_file(tmp_path / "job-1" / GLOBAL_MODEL_FILE)


def test_a_sum_that_was_noised_and_lost_at_the_server_is_noised_anew_and_released_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's own noise was in its memory alone: hospitals send what they have kept, and are charged nothing."""
    ids = {name: secrets.token_hex(16) for name in SITES}
    sites = {name: site(lambda release_id=release_id: reply(release_id=release_id)) for name, release_id in ids.items()}
    section, written, drawn = {**SECTION, "spare_draws": 1}, RunJournal.commit, HospitalMechanism.release
    noised: list[bytes] = []

    def release(self: HospitalMechanism, total: Any) -> Any:
        mean = drawn(self, total)
        noised.append(mean["weight"].tobytes())
        return mean

    def no_disk(self: RunJournal, state: RunState, outcome: RunOutcome) -> None:
        if state.rounds.round:
            raise OSError("no disk")
        written(self, state, outcome)

    monkeypatch.setattr(HospitalMechanism, "release", release)
    with monkeypatch.context() as broken:
        broken.setattr(RunJournal, "commit", no_disk)
        assert run(tmp_path, section, sites).status == "failed" and entries(tmp_path)[1] == []
    outcome = run(tmp_path, section, sites)
    assert outcome.status == "finished" and len(noised) == 2 and noised[0] != noised[1]
    received, out = entries(tmp_path)
    sent = sorted(one.release_id for one in received)
    assert sent == sorted([*ids.values()] * 2), "the same releases, once for each attempt"
    assert [one.round for one in out] == [0] and out[0].sha256 == sha256_of_file(tmp_path / "job-1" / GLOBAL_MODEL_FILE)
    np.testing.assert_array_equal(released(tmp_path), np.frombuffer(noised[1], np.float32).reshape(200, 200))
    expected = HospitalMechanism(HospitalMechanismConfig.model_validate(SECTION)).guarantee(2)
    assert outcome.guarantee and expected and outcome.guarantee.epsilon == expected.epsilon, "a round and a spare draw"


def test_an_attempt_under_other_noise_is_refused_before_a_site_sends_its_updates_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(ServerLedger, "release", lambda self, entry: (_ for _ in ()).throw(LedgerError("no disk")))
        assert run(tmp_path, SECTION).status == "failed" and len(entries(tmp_path)[0]) == 3
    outcome = run(tmp_path, {**SECTION, "noise_multiplier": 4.0})
    assert outcome.status == "failed" and "under another privacy section" in str(outcome.reason)
    assert len(entries(tmp_path)[0]) == 3
    assert run(tmp_path, SECTION).status == "finished"


def test_the_bound_adapts_from_round_to_round(tmp_path: Path) -> None:
    adaptive = {"quantile": 0.5, "learning_rate": 1.0, "count_noise_multiplier": 1.0}
    section = {**QUIET, "adaptive_clip": adaptive | {"least_clip_norm": 1.0, "greatest_clip_norm": 8.0}}
    run(tmp_path, section, num_rounds=2)
    # None of three (of four) is within: the fraction is 1/2 - 3/8, so that the bound rises by exp(3/8).
    np.testing.assert_allclose(released(tmp_path), 3 * SHARE * (1 + np.exp(3 / 8)), rtol=1e-5)


def test_a_round_is_released_once(tmp_path: Path) -> None:
    run(tmp_path, SECTION)
    ledger, entry = ServerLedger(tmp_path / "state"), entries(tmp_path)[1][0]
    with pytest.raises(LedgerError, match="released before"):
        ledger.release(entry)


def test_more_sites_than_the_section_divides_by_are_refused(tmp_path: Path) -> None:
    outcome = run(tmp_path, {**SECTION, "sites": 2})
    assert outcome.status == "failed" and "privacy.sites is 2, and 3 sites are in this job" in str(outcome.reason)


def test_a_damaged_ledger_of_the_servers_stops_the_run_before_it_begins(tmp_path: Path) -> None:
    run(tmp_path, SECTION)
    path = ServerLedger(tmp_path / "state").path
    path.write_bytes(path.read_bytes().replace(b'"round":0', b'"round":9', 1))
    outcome = run(tmp_path, SECTION, run_key="another_run")
    assert outcome.status == "failed" and "is not what was written" in str(outcome.reason)


def test_updates_under_patient_level_privacy_are_received_and_not_released(tmp_path: Path) -> None:
    patient = {"unit": "patient", "clip_norm": 0.5, "noise_multiplier": 2.0, "sampling_probability": 0.5}
    run(tmp_path, {**patient, "steps_per_round": 3, "delta": 1e-3, "expected_batch": 3})
    received, out = entries(tmp_path)
    assert len(received) == 3 and out == []
    assert {one.event for one in received} == {GaussianEvent(noise_multiplier=2, sampling_probability=0.5, count=3)}


def test_a_job_without_a_privacy_section_writes_no_ledger(tmp_path: Path) -> None:
    run_sites(tmp_path, dict.fromkeys(SITES, well_behaved))
    assert not (tmp_path / "state/privacy").exists()
