"""What a job's filters say of themselves reaches the outcome, and takes every formal guarantee with it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fedvoxel.errors import UpdateError
from fedvoxel.federation.claim import Claim, claim_of
from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.federation.recorder import RunRecorder
from fedvoxel.federation.round_notes import RoundNotes, read_filter_note
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.run_identity import RunIdentity
from fedvoxel.privacy.guarantee import NO_GUARANTEE, PUBLIC_DATA
from tests.private_section import PRIVACY

SAID = {"plan_source": "fixed", "choices": "public"}
ROUNDS = RoundsConfig(num_rounds=2, min_sites=1, evaluate=False)
NOTE = "FLARE PercentilePrivacy: no formal guarantee (it adds no noise)"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def outcome(claim: Claim, *rounds: dict[str, str], public: bool = False) -> RunOutcome:
    identity = RunIdentity("run", "job", "job", ("a", "b", "c", "d"), 2, {}, NOW, claim)
    recorder = RunRecorder(identity)
    for filters in rounds:
        notes = RoundNotes(contributed=dict.fromkeys("abcd", 1), filters=filters)
        notes.public = set("abcd") if public else set()
        recorder.close_round(notes)
    return recorder.outcome("failed", "no matter", NOW, None)


def open_channels(made: RunOutcome) -> list[str]:
    return [channel.name for channel in made.channels if channel.status == "open"]


@pytest.mark.parametrize("value", ["", "x" * 401, "two\nlines", "a\x1b[31m", 5, True, ["note"], {"a": 1}, b"note"])
def test_a_note_that_is_no_short_line_is_refused(value: Any) -> None:
    with pytest.raises(UpdateError, match="short line of text"):
        read_filter_note(value)


def test_a_note_is_kept_by_round_and_site_and_said_in_the_claim() -> None:
    made = outcome(claim_of(None, ROUNDS, **SAID), {"a": "first"}, {"a": NOTE, "b": NOTE})
    assert [one.filters for one in made.rounds] == [{"a": "first"}, {"a": NOTE, "b": NOTE}]
    assert made.privacy == f"no formal guarantee (a: {NOTE}; b: {NOTE})"
    assert "job filters" in open_channels(made)


def test_many_sites_do_not_make_a_claim_without_end() -> None:
    made = outcome(claim_of(None, ROUNDS, **SAID), dict.fromkeys("abcd", NOTE))
    assert made.privacy.endswith("; and 1 more sites)") and made.privacy.count(NOTE) == 3


def test_a_guarantee_falls_with_a_filter_that_nobody_should_have_let_in() -> None:
    claim = claim_of(PRIVACY, ROUNDS, **SAID)
    assert outcome(claim, {}).guarantee is not None
    made = outcome(claim, {}, {"a": NOTE})
    assert made.guarantee is None and made.privacy.startswith(NO_GUARANTEE) and open_channels(made) == ["job filters"]


def test_public_cases_stay_public_behind_a_filter() -> None:
    made = outcome(claim_of(None, ROUNDS, **SAID), {"a": NOTE}, public=True)
    assert made.privacy == PUBLIC_DATA and open_channels(made) == []
    assert next(channel.why for channel in made.channels if channel.name == "job filters") == f"a: {NOTE}"
