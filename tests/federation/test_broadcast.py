"""Server and sites hold the same model bit for bit, and what a codec leaves out goes along the next time."""

import numpy as np
import pytest

from fedvoxel.errors import UpdateError
from fedvoxel.federation.broadcast import Broadcast, fingerprint, moved
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.updates.compression.config import READ_CODEC
from fedvoxel.updates.update import Update

COARSE = READ_CODEC.validate_python({"name": "topk", "fraction": 0.05})


def _model(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {"w": random.normal(size=(40, 30)).astype(np.float32), "b": random.normal(size=4).astype(np.float32)}


def test_a_site_that_follows_every_payload_holds_what_the_server_says_it_holds() -> None:
    broadcast = Broadcast(_model(0), COARSE)
    site = _model(0)
    assert broadcast.base == fingerprint(site) and broadcast.size_bytes == 0
    for seed in range(1, 4):
        broadcast.publish(_model(seed), COARSE)
        assert broadcast.base == fingerprint(site) and 0 < broadcast.size_bytes < 1000
        site = moved(site, broadcast.payload)
        assert fingerprint(site) == fingerprint(broadcast.held)


def test_a_model_that_stays_is_reached_in_the_end() -> None:
    broadcast, wanted = Broadcast(_model(0), COARSE), _model(1)
    gaps = []
    for _ in range(25):
        broadcast.publish(wanted, COARSE)
        gaps.append(float(np.abs(broadcast.held["w"] - wanted["w"]).max()))
    assert gaps[0] > 1 and gaps[-1] < 1e-2


def test_without_a_codec_the_model_itself_is_sent() -> None:
    broadcast = Broadcast(_model(0), None)
    broadcast.publish(_model(1), None)
    assert (broadcast.payload, broadcast.base, broadcast.size_bytes) == (None, None, 4 * 1204)
    np.testing.assert_array_equal(broadcast.held["w"], _model(1)["w"])


def test_a_payload_for_another_model_does_not_fit() -> None:
    broadcast = Broadcast(_model(0), COARSE)
    broadcast.publish(_model(1), COARSE)
    with pytest.raises(UpdateError, match="wrong keys"):
        moved({"w": _model(0)["w"]}, broadcast.payload)


def _rounds(**compression) -> Rounds:
    return Rounds(RoundsConfig(num_rounds=40, min_sites=1, compression=compression), _model(0))


def test_the_scored_model_is_the_one_that_sites_hold_and_the_exact_one_is_not_lost() -> None:
    rounds, exact = _rounds(down=COARSE), _model(0)
    for index in range(8):
        step = {name: np.full_like(array, 0.1 * (index < 4)) for name, array in exact.items()}
        exact = {name: exact[name] + step[name] for name in exact}
        rounds.add("a", Update(step, 5))
        rounds.close_round()
        np.testing.assert_array_equal(rounds.model["w"], rounds.outgoing["w"])
    assert np.abs(rounds.model["w"] - exact["w"]).max() > 0.05
    for _ in range(30):
        rounds.add("a", Update({name: np.zeros_like(array) for name, array in exact.items()}, 5))
        rounds.close_round()
    np.testing.assert_allclose(rounds.model["w"], exact["w"], atol=2e-3)


@pytest.mark.parametrize(
    ("scores", "name"),
    [
        ((0.5, 0.6, 0.5, 0.5), "int8"),
        ((0.5, 0.6, 0.5, 0.6, 0.5), "topk"),
        ((0.5, 0.6, 0.58, 0.58), "topk"),
        ((0.6, 0.5, 0.5, 0.5, 0.5), "fp16"),
    ],
)
def test_the_guard_steps_back_after_two_scores_in_a_row_far_below_the_best(scores, name) -> None:
    rounds = _rounds(up=COARSE, down=COARSE, guard_dice=0.05)
    for dice in scores:
        rounds.add_validation("a", ValidationScore(cases=3, dice={"organ": dice}))
        rounds.score_model()
    assert (rounds.up.name, rounds.down.name) == (name, name)


def test_without_a_guard_the_codec_stays() -> None:
    rounds = _rounds(up=COARSE)
    for dice in (0.9, 0.1, 0.1, 0.1):
        rounds.add_validation("a", ValidationScore(cases=3, dice={"organ": dice}))
        rounds.score_model()
    assert rounds.up == COARSE and rounds.down is None
