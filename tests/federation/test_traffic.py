"""What a job sends: counted by hand, by the arrays' real way through FLARE, and with the real codecs."""

import math
from typing import Any

import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.traffic import EncodedSizes, Parcel, Step, encoded_bytes, parcel_of, steps_of, traffic_of
from fedvoxel.flare.pieces import ArrayPieces
from fedvoxel.updates.compression.config import READ_CODEC
from fedvoxel.updates.compression.payload import decode, encode

LAYOUT = {"kernel": (64, 32, 3, 3, 3), "wide": (1000, 777), "bias": (64,)}
VALUES = 64 * 32 * 27 + 1000 * 777 + 64
INT8 = {"name": "int8"}


def rounds(**changes: Any) -> RoundsConfig:
    return parse_config(RoundsConfig, {"num_rounds": 5} | changes, "rounds")


def steps(sites: int = 4, begins_with_run: bool = False, **changes: Any) -> dict[str, Step]:
    config = rounds(**changes)
    made = steps_of(config, traffic_of(LAYOUT, config, EncodedSizes()), sites, begins_with_run)
    return {step.name: step for step in made}


def test_nothing_is_no_request() -> None:
    assert parcel_of([]) == Parcel()


def test_pieces_are_put_together_up_to_two_megabytes() -> None:
    # 2.5 MiB are pieces of 1, 1, and 0.5 MiB: one, then one and a half; the last request finds nothing left.
    parcel = parcel_of([5 * 2**19])
    assert parcel.requests == 3
    assert parcel.size_bytes == pytest.approx(5 * 2**19, rel=1e-3)
    assert parcel.largest_bytes == pytest.approx(3 * 2**19, rel=1e-3)


@pytest.mark.parametrize("shapes", [LAYOUT, {"one": (1,)}, {f"part{index}": (90_000,) for index in range(40)}])
def test_a_parcel_is_what_flare_sends(shapes: dict[str, tuple[int, ...]]) -> None:
    arrays = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    sender, state, sizes = ArrayPieces(arrays, 2 * 2**20), dict[str, Any](), list[int]()
    while (answer := sender.produce(state, "site"))[0] == "ok":
        sizes.append(sum(map(len, answer[1])))
        state = answer[2]
    parcel = parcel_of(array.nbytes for array in arrays.values())
    assert parcel.requests == len(sizes) + 1
    assert parcel.size_bytes == pytest.approx(sum(sizes), rel=0.002, abs=100)
    assert parcel.largest_bytes == pytest.approx(max(sizes), rel=0.002, abs=100)


def test_a_plain_job_sends_the_model_each_way_and_thrice_more() -> None:
    found = steps()
    assert [(step.name, step.times, step.sites) for step in found.values()] == [
        ("first model", 1, 1),
        ("first round", 1, 4),
        ("other rounds", 4, 4),
        ("last validation", 1, 4),
        ("test", 1, 4),
    ]
    size = found["other rounds"].down.size_bytes
    assert size == pytest.approx(4 * VALUES, rel=1e-3)
    assert found["other rounds"].up == found["other rounds"].down == found["test"].down
    assert found["first model"].up.size_bytes == size and found["first model"].down == Parcel()
    assert found["test"].up == Parcel() and not found["test"].trains and found["first round"].trains


def test_a_job_of_one_round_has_no_other() -> None:
    assert "other rounds" not in steps(num_rounds=1)


def test_without_scores_nothing_is_sent_for_them() -> None:
    assert set(steps(evaluate=False)) == {"first model", "first round", "other rounds"}


def test_scaffold_doubles_the_rounds_and_nothing_else() -> None:
    found, plain = steps(correction={"name": "scaffold"}), steps()
    assert found["other rounds"].down.size_bytes == 2 * plain["other rounds"].down.size_bytes
    assert found["other rounds"].up.size_bytes == 2 * plain["other rounds"].up.size_bytes
    assert found["test"].down == plain["test"].down
    feddyn = steps(correction={"name": "feddyn", "alpha": 0.1})
    assert feddyn["other rounds"] == plain["other rounds"]


def test_with_a_codec_downwards_the_first_round_sends_nothing_down() -> None:
    found, plain = steps(compression={"up": INT8, "down": INT8}), steps()
    assert found["first round"].down == Parcel()
    assert found["other rounds"].down.size_bytes < plain["other rounds"].down.size_bytes / 3
    assert found["other rounds"].up == found["other rounds"].down
    assert found["last validation"].down == found["other rounds"].down
    assert found["test (at most)"].down == plain["test"].down, "the best model may be an earlier one"
    only_up = steps(compression={"up": INT8})
    assert only_up["first round"].down == plain["first round"].down
    assert only_up["first round"].up == found["first round"].up


def test_a_job_that_begins_with_a_run_asks_for_no_first_model_and_sends_it_whole() -> None:
    found = steps(begins_with_run=True, compression={"down": INT8})
    assert "first model" not in found
    assert found["first round"].down == steps()["first round"].down


def test_a_selection_asks_some_in_a_round_and_all_at_the_end() -> None:
    found = steps(sites=10, selection={"name": "random", "fraction": 0.3})
    assert (found["other rounds"].sites, found["test"].sites) == (3, 10)


@pytest.mark.parametrize(
    ("method", "every", "times"),
    [("leave_one_out", 1, 5 * 5), ("leave_one_out", 2, 5 * 3), ("shapley", 1, 16 * 5), ("agreement", 1, None)],
)
def test_contribution_sends_a_model_for_each_that_is_scored(method: str, every: int, times: int | None) -> None:
    found = steps(contribution={"method": method, "every": every, "evaluators": ["hospital-a"]}).get("contribution")
    assert (found and (found.times, found.sites)) == (times and (times, 1))


def test_the_costliest_case_of_gtg_shapley_is_said_to_be_that() -> None:
    assert steps(contribution={"method": "gtg_shapley"})["contribution (at most)"].times == 16 * 5


@pytest.mark.parametrize("codec", [{"name": "stepped"}, INT8, {"name": "topk"}, {"name": "powersgd", "rank": 2}])
def test_an_encoded_size_is_that_of_a_payload_of_the_same_shapes(codec: dict[str, Any]) -> None:
    read = READ_CODEC.validate_python(codec)
    random = np.random.default_rng(5)
    change = {name: random.normal(0, 1, shape).astype(np.float32) for name, shape in LAYOUT.items()}
    payload, _ = encode(change, read, random, {})
    assert set(decode(payload, LAYOUT, read)) == set(LAYOUT)
    assert encoded_bytes(LAYOUT, read, np.random.default_rng(1)) == pytest.approx(len(payload), rel=0.1)


def test_sizes_are_the_same_whatever_was_asked_before() -> None:
    one, other = READ_CODEC.validate_python(INT8), READ_CODEC.validate_python({"name": "stepped"})
    first, second = EncodedSizes(), EncodedSizes()
    first.of(LAYOUT, other)
    assert first.of(LAYOUT, one) == second.of(LAYOUT, one)
    assert first.of(LAYOUT, one).size_bytes < 4 * math.prod(LAYOUT["wide"])
