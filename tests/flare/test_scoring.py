"""The last validation and the test send a site the change to what it holds, or nothing, and count the bytes."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.errors import ConfigError
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.recorder import RunRecorder
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.vetting import Vetting
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.fetching import size_bytes
from fedvoxel.flare.gathered import Gathered
from fedvoxel.flare.round_messages import RoundMessages
from fedvoxel.flare.scoring import Scoring
from fedvoxel.flare.site_codec import SiteCodec
from fedvoxel.flare.site_tasks import OnReply
from fedvoxel.flare.site_updates import SiteUpdates
from fedvoxel.training.messages import Message
from fedvoxel.updates.update import Update

DOWN = {"down": {"name": "int8"}}
SITES = ["a", "b"]
WHOLE = 4 * 600


def _initial() -> dict[str, np.ndarray]:
    return {"w": np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)}


class Hospitals:
    """Are real sites' states; they answer whatever is asked as an executor does, with a score that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.folders = {site: folder / site for site in SITES}
        for each in self.folders.values():
            each.mkdir()
        self.dice, self.broken, self.sent = 0.5, set[str](), 0
        self.scored: list[tuple[str, dict[str, np.ndarray]]] = []

    def train(self, rounds: Rounds) -> None:
        """Brings every site to the model of the open round, scores it, and closes the round."""
        for site in SITES:
            message = RoundMessages(rounds, None, "run").change()
            SiteCodec(self.folders[site], "brains", site, 1).model_of(message, _initial)
            if rounds.round:
                rounds.add_validation(site, ValidationScore(cases=4, dice={"organ": self.dice}))
            random = np.random.default_rng(rounds.round)
            step = {name: random.normal(size=array.shape) for name, array in rounds.outgoing.items()}
            rounds.add(site, Update({name: array.astype(np.float32) for name, array in step.items()}, 5))
        rounds.close_round()

    def ask(self, task_name: str, model: FLModel, sites: Collection[str], wait: Wait, on_reply: OnReply) -> Gathered:
        missing = {}
        self.sent += len(sites) * size_bytes(model.params)
        for site in sites:
            arrived = FLModelUtils.from_shareable(FLModelUtils.to_shareable(model))
            updates = SiteUpdates(self.folders[site], "brains", site, 1)
            try:
                if site in self.broken:
                    raise ConfigError("no disk")
                arrays = updates.scored(arrived, lambda _: Message({}, _initial()))
            except ConfigError as error:
                missing[site] = str(error)
                continue
            self.scored.append((site, dict(arrays)))
            classes = {"organ": {"cases": 4, "dice_mean": self.dice}}
            score = {"cases": 4, "dice": {"organ": self.dice}}
            score = {"cases": 4, "classes": classes} if arrived.meta["split"] == "test" else score
            on_reply(site, FLModel(metrics={"arrays": 0}, meta={"score": score, "public": True}))
        return Gathered(missing, {})

    def held(self, site: str) -> dict[str, np.ndarray]:
        (path,) = self.folders[site].glob("held_model.*")
        return dict(np.load(path))


class Run:
    """Is a run of two rounds, about to be validated and tested."""

    def __init__(self, folder: Path, dice: float = 0.5, **config: Any) -> None:
        self.sites = Hospitals(folder)
        self.rounds = Rounds(RoundsConfig(num_rounds=2, min_sites=1, **config), _initial())
        self.sites.dice = dice
        self.sites.train(self.rounds)
        self.sites.train(self.rounds)
        self.sites.dice = 0.5
        self.recorder = RunRecorder(None)  # type: ignore[arg-type]
        vetting = Vetting("a_run", self.rounds.config.case_counts, private=False)
        self.scoring = Scoring(self.rounds, vetting, self.recorder, self.sites.ask)

    def sent(self) -> int:
        """Returns the bytes that the sites were sent since the last time."""
        counted, self.sites.sent = self.sites.sent, 0
        return counted

    def scored(self) -> dict[str, np.ndarray]:
        """Returns the model that all sites were asked to score last, which has to be the same."""
        arrays = [arrays for _, arrays in self.sites.scored[-len(SITES) :]]
        for other in arrays[1:]:
            np.testing.assert_array_equal(other["w"], arrays[0]["w"])
        assert all(set(each) == {"w"} for each in arrays), "no control variates"
        return arrays[0]


@pytest.mark.parametrize("correction", [None, {"name": "scaffold"}])
def test_the_last_model_travels_as_a_change_and_is_tested_for_nothing(tmp_path: Path, correction: Any) -> None:
    run = Run(tmp_path, dice=0.4, compression=DOWN, correction=correction)
    payload = len(run.rounds.broadcast.payload or b"")
    assert run.scoring.validate_last(SITES).missing == {}
    np.testing.assert_array_equal(run.scored()["w"], run.rounds.model["w"])
    assert run.sent() == 2 * payload < run.rounds.broadcast.whole_bytes
    assert run.rounds.best_model is run.rounds.model and len(run.rounds.validation[-1]) == 2
    assert run.scoring.test(SITES).missing == {}
    np.testing.assert_array_equal(run.scored()["w"], run.rounds.model["w"])
    assert run.sent() == 0 and set(run.recorder.test) == set(SITES)


def test_a_best_model_that_is_not_the_last_is_tested_as_it_is(tmp_path: Path) -> None:
    run = Run(tmp_path, dice=0.9, compression=DOWN)
    run.scoring.validate_last(SITES)
    run.sent()
    best = run.rounds.best_model
    assert best and not np.array_equal(best["w"], run.rounds.model["w"])
    run.scoring.test(SITES)
    np.testing.assert_array_equal(run.scored()["w"], best["w"])
    assert run.sent() == 2 * WHOLE
    np.testing.assert_array_equal(run.sites.held("a")["w"], run.rounds.model["w"])


@pytest.mark.parametrize("correction", [None, {"name": "scaffold"}])
def test_a_site_that_lost_its_model_is_sent_the_whole_once(tmp_path: Path, correction: Any) -> None:
    run = Run(tmp_path, dice=0.4, compression=DOWN, correction=correction)
    payload, whole = len(run.rounds.broadcast.payload or b""), run.rounds.broadcast.whole_bytes
    next(run.sites.folders["b"].glob("held_model.*")).unlink()
    assert run.scoring.validate_last(SITES).missing == {}
    np.testing.assert_array_equal(run.scored()["w"], run.rounds.model["w"])
    assert run.sent() == 2 * payload + whole
    run.scoring.test(SITES)
    assert run.sent() == 0, "it holds the model again"


def test_a_site_that_was_not_there_for_the_validation_is_sent_the_tested_model_whole(tmp_path: Path) -> None:
    run = Run(tmp_path, dice=0.4, compression=DOWN)
    run.sites.broken = {"b"}
    assert run.scoring.validate_last(SITES).missing == {"b": "no disk"}
    run.sites.broken = set()
    run.sent()
    assert run.scoring.test(SITES).missing == {}
    np.testing.assert_array_equal(run.scored()["w"], run.rounds.model["w"])
    assert run.sent() == WHOLE


@pytest.mark.parametrize("correction", [None, {"name": "scaffold"}])
def test_without_a_codec_downwards_all_get_the_model_alone(tmp_path: Path, correction: Any) -> None:
    run = Run(tmp_path, dice=0.4, correction=correction)
    run.scoring.validate_last(SITES)
    run.scoring.test(SITES)
    np.testing.assert_array_equal(run.scored()["w"], run.rounds.model["w"])
    assert run.sent() == 2 * 2 * WHOLE
    assert not list(tmp_path.rglob("held_model.*"))


def test_any_other_model_is_sent_whole_and_leaves_what_is_held_as_it_was(tmp_path: Path) -> None:
    run = Run(tmp_path, compression=DOWN)
    before, other = run.sites.held("a")["w"], {"w": np.ones((30, 20), np.float32)}
    for _ in range(2):
        run.scoring.validation(other, ["a"], lambda site, meta: None)
    np.testing.assert_array_equal(run.sites.scored[-1][1]["w"], other["w"])
    np.testing.assert_array_equal(run.sites.held("a")["w"], before)
    assert run.sent() == 2 * WHOLE
