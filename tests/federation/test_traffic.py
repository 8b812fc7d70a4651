"""What a job sends: counted by hand, by the arrays' real way through FLARE, and with the real codecs."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.federation.forecast import forecast
from fedvoxel.federation.line import Line
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.secure_words import CERTIFICATE_BYTES
from fedvoxel.federation.site_work import SiteWork
from fedvoxel.federation.traffic import EncodedSizes, Parcel, Step, encoded_bytes, parcel_of, steps_of, traffic_of
from fedvoxel.flare.pieces import ArrayPieces
from fedvoxel.records.identity import load_identity
from fedvoxel.updates.compression.config import READ_CODEC
from fedvoxel.updates.compression.payload import decode, encode
from fedvoxel.updates.secure.config import SecureConfig
from tests.consortium_kits import small_consortium
from tests.updates.secure.secure_sites import Consortium

LAYOUT = {"kernel": (64, 32, 3, 3, 3), "wide": (1000, 777), "bias": (64,)}
VALUES = 64 * 32 * 27 + 1000 * 777 + 64
INT8 = {"name": "int8"}


def rounds(**changes: Any) -> RoundsConfig:
    return parse_config(RoundsConfig, {"num_rounds": 5} | changes, "rounds")


def steps(sites: int = 4, begins_with_run: bool = False, private: bool = False, **changes: Any) -> dict[str, Step]:
    config = rounds(**changes)
    made = steps_of(config, traffic_of(LAYOUT, config, EncodedSizes(), sites, private), sites, begins_with_run)
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


@pytest.mark.parametrize(
    ("sites", "models"),
    [(4, 16), (25, 2 + 2 * 25 + 200 * 25 * 22), (2000, 2 + 2 * 2000 + 200 * 2000 * 1997)],
)
def test_the_costliest_case_of_gtg_shapley_is_said_to_be_that(sites: int, models: int) -> None:
    step = steps(sites=sites, contribution={"method": "gtg_shapley", "evaluators": ["one"]})["contribution (at most)"]
    assert step.times == models * 5
    assert 0 < forecast([step], Line(1e6, 1e6), SiteWork()).seconds < math.inf


def test_exact_values_of_too_many_sites_are_no_plan() -> None:
    assert steps(sites=10, contribution={"method": "shapley"})["contribution"].times == 1024 * 5
    with pytest.raises(ConfigError, match="of which there are 11 here, expected at most 10"):
        steps(sites=11, contribution={"method": "shapley"})


SECURE = {"secure_aggregation": {"bits": 16}, "min_sites": 3}


def test_a_secure_round_sends_masked_values_and_four_exchanges_more() -> None:
    found, plain = steps(**SECURE), steps()
    assert [(step.name, step.times, step.sites) for step in found.values()] == [
        ("first model", 1, 1),
        ("secure keys", 5, 4),
        ("secure shares", 5, 4),
        ("first round", 1, 4),
        ("other rounds", 4, 4),
        ("secure confirm", 5, 4),
        ("secure reveal", 5, 4),
        ("last validation", 1, 4),
        ("test", 1, 4),
    ]
    assert found["first round"].up == parcel_of([21 + 4 * VALUES]) and found["other rounds"].up == parcel_of(
        [21 + 2 * VALUES]
    )
    down = found["other rounds"].down
    assert down.size_bytes - down.said_bytes == plain["other rounds"].down.size_bytes
    around = [step for step in found.values() if step.around]
    assert len(around) == 4 and not any(step.down.requests or step.up.requests or step.trains for step in around)
    eight = steps(**SECURE | {"secure_aggregation": {"bits": 8}})
    assert eight["other rounds"].up == parcel_of([21 + VALUES]) and eight["first round"].up == found["first round"].up


def test_under_a_privacy_section_every_secure_round_takes_the_widest_ring() -> None:
    found = steps(private=True, **SECURE)
    assert found["other rounds"].up == found["first round"].up == steps(**SECURE)["first round"].up


def kit_sized(message: Any) -> Any:
    """A message of the test's sites with certificates and signatures as long as those of kits."""
    if isinstance(message, list):
        return [kit_sized(each) for each in message]
    if not isinstance(message, dict):
        return message
    long = {"certificate": "0" * CERTIFICATE_BYTES, "signature": "0" * 512}
    return {key: long.get(key) or kit_sized(value) for key, value in message.items()}


@pytest.mark.parametrize("sites", [4, 9])
def test_what_a_secure_round_says_is_what_its_messages_hold(sites: int) -> None:
    planned = steps(sites=sites, **SECURE)
    round_of = Consortium(sites)
    member, collector, said = round_of.members["site-0"], round_of.collector, dict[str, tuple[Any, Any]]()
    round_of.announce()
    roster = collector.roster()
    keys = SecureConfig(bits=16).model_dump(mode="json")
    said["secure keys"] = keys, roster[0]
    round_of.share()
    dealt = collector.dealt()
    said["secure shares"] = roster, dealt["site-0"]
    round_of.mask()
    round_of.confirm()
    said["secure confirm"] = collector.alive, {"signature": ""}
    confirmed = collector.confirmations()
    said["secure reveal"] = dict.fromkeys(confirmed, "0" * 512), member.reveal(confirmed).model_dump(mode="json")
    for name, (down, up) in said.items():
        got = (planned[name].down.size_bytes, planned[name].up.size_bytes)
        real = tuple(len(json.dumps(kit_sized(each), separators=(",", ":"))) for each in (down, up))
        # The sites of the plan have longer names.
        assert got == pytest.approx(real, rel=0.06, abs=6 * sites), name
    assert planned["other rounds"].down.said_bytes == pytest.approx(len(json.dumps(dealt)), rel=0.06)


def test_the_certificates_and_signatures_of_kits_are_as_long_as_is_planned(tmp_path: Path) -> None:
    identity = load_identity(small_consortium(tmp_path).kit("hospital-a") / "startup")
    assert len(identity.certificate) == pytest.approx(CERTIFICATE_BYTES, rel=0.05)
    assert len(identity.sign(b"")) == 512


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
