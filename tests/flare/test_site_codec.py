"""A site follows the server's changes, says where it cannot, and sends what it was asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.errors import ConfigError
from fedvoxel.federation.reply_values import read_validation
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.flare.fetching import size_bytes
from fedvoxel.flare.messages import LACKS_MODEL
from fedvoxel.flare.round_messages import RoundMessages
from fedvoxel.flare.site_codec import SiteCodec
from fedvoxel.updates.compression.payload import decode, payload_of
from fedvoxel.updates.update import Update, layout_of

CODEC = {"name": "topk", "fraction": 0.1}


def _initial() -> dict[str, np.ndarray]:
    return {"w": np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)}


def _rounds(**config: Any) -> Rounds:
    compression = {"up": CODEC, "down": CODEC}
    return Rounds(RoundsConfig(num_rounds=5, min_sites=1, compression=compression, **config), _initial())


def _site(folder: Path, name: str = "a") -> SiteCodec:
    folder.mkdir(exist_ok=True)
    return SiteCodec(folder, "brains", name, 1)


def _told(message: FLModel, name: str = "a") -> FLModel:
    message.meta["accepted"] = message.meta["accepted"].get(name)
    return message


def _close(rounds: Rounds) -> None:
    step = {name: np.random.default_rng(9).normal(size=array.shape) for name, array in rounds.outgoing.items()}
    rounds.add("a", Update({name: array.astype(np.float32) for name, array in step.items()}, 5))
    rounds.close_round()


def _held(site: SiteCodec, message: FLModel) -> dict[str, np.ndarray]:
    return dict(site.model_of(_told(message), _initial))


@pytest.mark.parametrize("correction", [None, {"name": "scaffold"}])
def test_a_site_holds_the_servers_model_in_every_round_and_the_first_costs_nothing(tmp_path: Path, correction) -> None:
    rounds = _rounds(correction=correction)
    for index in range(3):
        messages = RoundMessages(rounds, None, "run")
        assert (size_bytes(messages.change().params) == 0) == (index == 0)
        # Another process each time: what the site holds is in its state.
        held = _held(_site(tmp_path), messages.change())
        assert held.keys() == rounds.outgoing.keys()
        for name, array in rounds.outgoing.items():
            np.testing.assert_array_equal(held[name], array)
        _close(rounds)


def test_a_site_that_missed_a_round_says_so_and_goes_on_with_the_whole_model(tmp_path: Path) -> None:
    rounds = _rounds()
    _held(_site(tmp_path), RoundMessages(rounds, None, "run").change())
    _close(rounds)
    _close(rounds)
    messages = RoundMessages(rounds, None, "run")
    with pytest.raises(ConfigError, match=LACKS_MODEL):
        _held(_site(tmp_path), messages.change())
    with pytest.raises(ConfigError, match=LACKS_MODEL):
        _held(_site(tmp_path / "new"), messages.change())
    np.testing.assert_array_equal(_held(_site(tmp_path), messages.whole())["w"], rounds.model["w"])
    assert size_bytes(messages.change().params) == rounds.broadcast.size_bytes < 4 * 600
    _close(rounds)
    following = _held(_site(tmp_path), RoundMessages(rounds, None, "run").change())
    np.testing.assert_array_equal(following["w"], rounds.model["w"])


def test_weights_drawn_otherwise_than_the_servers_are_replaced_by_the_whole(tmp_path: Path) -> None:
    message = _told(RoundMessages(_rounds(), None, "run").change())
    with pytest.raises(ConfigError, match=LACKS_MODEL):
        _site(tmp_path).model_of(message, lambda: {"w": _initial()["w"] + np.float32(1e-6)})


def test_an_update_leaves_encoded_and_the_rest_of_a_refused_one_is_dropped(tmp_path: Path) -> None:
    rounds, difference = _rounds(), _initial()
    sent = []
    for accepted in (None, None, 1):
        message = _told(RoundMessages(rounds, None, "run").change())
        message.meta["accepted"], message.current_round = accepted, len(sent)
        arrays = _site(tmp_path).encoded(message, difference)
        sent.append(decode(payload_of(arrays) or b"", layout_of(difference), rounds.up)["w"])
    np.testing.assert_array_equal(sent[0], sent[1])
    assert not np.array_equal(sent[2], sent[1]), "what was left of the accepted one comes first"


def test_a_codec_that_the_site_does_not_know_is_refused(tmp_path: Path) -> None:
    message = _told(RoundMessages(_rounds(), None, "run").change())
    message.meta["up"] = {"name": "of_next_year"}
    with pytest.raises(ConfigError, match="codec that this site does not know"):
        _site(tmp_path).encoded(message, _initial())


def test_without_a_codec_arrays_travel_as_they_are(tmp_path: Path) -> None:
    rounds = Rounds(RoundsConfig(num_rounds=5, min_sites=1), _initial())
    messages = RoundMessages(rounds, None, "run")
    message = _told(messages.change())
    assert messages.codecs == {} and size_bytes(message.params) == 4 * 600
    assert _site(tmp_path).model_of(message, _initial) is message.params
    assert _site(tmp_path).encoded(message, _initial()).keys() == {"w"} and list(tmp_path.iterdir()) == []


def test_both_ends_follow_the_guard_back_to_float32(tmp_path: Path) -> None:
    coarse = {"name": "int8"}
    config = RoundsConfig(num_rounds=9, min_sites=1, compression={"up": coarse, "down": coarse, "guard_dice": 0.1})
    rounds, site, names = Rounds(config, _initial()), _site(tmp_path), []
    for index in range(8):
        messages = RoundMessages(rounds, None, "run")
        message = _told(messages.change())
        held = site.model_of(message, _initial)
        np.testing.assert_array_equal(held["w"], rounds.outgoing["w"])
        difference = {"w": np.random.default_rng(index).normal(0, 0.1, (30, 20)).astype(np.float32)}
        arrays = site.encoded(message, difference)
        payload = payload_of(arrays)
        assert (payload is None) == (rounds.up is None)
        taken = arrays if payload is None else decode(payload, rounds.layout, rounds.up)
        rounds.add("a", Update(taken, 5))
        if index:
            score = {"cases": 3, "dice": {"lesion": 0.8 if index == 1 else 0.2}}
            rounds.add_validation("a", read_validation(rounds.config, score))
        names.append(messages.codecs.get("up"))
        rounds.close_round()
    assert names == ["int8"] * 4 + ["fp16"] * 2 + [None] * 2
    np.testing.assert_array_equal(taken["w"], difference["w"])
