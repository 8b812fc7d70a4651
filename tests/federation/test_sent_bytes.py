"""What a run sent in all, by hand, with what travels outside the rounds."""

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.federation.sent_bytes import BesideRounds, all_bytes_down, all_bytes_up
from tests.sample_run import sample_outcome

SECURE = {"secure_bytes_up": 50, "secure_bytes_down": 500}


def test_everything_that_travelled_is_in_the_sum() -> None:
    beside = BesideRounds(first_model_up=7, validation_down=100, test_down=20)
    rounds = tuple(
        record.model_copy(update={"bytes_up": 1000, "bytes_down": 2000, "contribution_bytes_down": 3} | SECURE)
        for record in sample_outcome().rounds[:2]
    )
    outcome = sample_outcome().model_copy(update={"rounds": rounds, "beside_rounds": beside})
    assert (all_bytes_up(outcome), all_bytes_down(outcome)) == (2107, 5126)


def test_an_outcome_from_before_it_was_counted_has_none_beside_the_rounds() -> None:
    old = sample_outcome().model_dump(mode="json")
    del old["beside_rounds"]
    for record in old["rounds"]:
        del record["contribution_bytes_down"], record["secure_bytes_up"], record["secure_bytes_down"]
    read = parse_config(RunOutcome, old, "the outcome")
    assert read.beside_rounds == BesideRounds()
    assert all_bytes_down(read) == sum(record.bytes_down for record in read.rounds)


def test_bytes_are_counted_and_not_negative() -> None:
    with pytest.raises(ConfigError, match=r"beside_rounds\.test_down"):
        parse_config(
            RunOutcome, sample_outcome().model_dump(mode="json") | {"beside_rounds": {"test_down": -1}}, "the outcome"
        )
