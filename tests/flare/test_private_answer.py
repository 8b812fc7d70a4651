"""What would make training fail anyway is found out before anything is charged; what leaves is a release's name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.errors import CohortError, FedVoxelError
from fedvoxel.flare.messages import LACKS_MODEL
from fedvoxel.flare.private_answer import Ask, PrivateAnswers
from fedvoxel.flare.private_rounds import PrivateRounds
from fedvoxel.flare.secure_answers import SecureAnswers
from fedvoxel.flare.site_codec import SiteCodec
from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.policy import CohortBudget
from fedvoxel.training.messages import Message
from fedvoxel.updates.compression.config import READ_CODEC
from fedvoxel.updates.compression.payload import decode, payload_of
from fedvoxel.updates.update import layout_of
from fedvoxel.updates.weights_file import from_bytes
from tests.flare.test_private_rounds import ARRAYS, CONFIG, HOSPITAL


class Trainer:
    """Answers as a trainer process does, and notes what it was told."""

    def __init__(self, problem: FedVoxelError | None = None) -> None:
        self.told: list[dict[str, Any]] = []
        self._problem = problem

    def __call__(self, message: Message) -> Message:
        self.told.append(dict(message.header))
        if self._problem:
            raise self._problem
        private = message.header["command"] == "train_private"
        header = {"steps": 3} if private else {"case_count": 5, "loss": 0.5, "seconds": 1.0}
        return Message(header, ARRAYS)


class Answers:
    """Answers one run's rounds, as the executor does."""

    def __init__(self, rounds: PrivateRounds, state: Path) -> None:
        folder = state / "run"
        folder.mkdir(parents=True, exist_ok=True)
        self._answers, self._rounds = PrivateAnswers(SiteCodec(folder, "cohort", "hospital-a", 1)), rounds

    def answer(self, model: FLModel, ask: Ask) -> Shareable:
        return self._answers.answer(self._rounds, model, ask, SecureAnswers(Path("kit"), Path("run"), "ab" * 32))


def answers(folder: Path, config: Any = CONFIG) -> tuple[Answers, Ledger]:
    ledger = Ledger(folder, "cohort", CohortBudget(unit=config.unit, epsilon=8.0, delta=1e-3))
    return Answers(PrivateRounds(ledger, config, "run", "job"), folder), ledger


def model(index: int = 0, up: dict[str, Any] | None = None, **arrays: np.ndarray) -> FLModel:
    params, meta = dict(arrays or ARRAYS), {"up": up, "accepted": None}
    return FLModel(params_type=ParamsType.FULL, params=params, current_round=index, total_rounds=2, meta=meta)


@pytest.mark.parametrize("config", [CONFIG, HOSPITAL], ids=["patient", "hospital"])
def test_nothing_but_the_name_of_a_release_is_answered(config: Any, tmp_path: Path) -> None:
    private, ledger = answers(tmp_path, config)
    trainer = Trainer()
    replies = [FLModelUtils.from_shareable(private.answer(model(index), trainer)) for index in (0, 0, 1)]
    assert all(set(reply.meta) == {"release_id"} and not reply.params for reply in replies)
    assert replies[0].meta == replies[1].meta != replies[2].meta
    command = "train_private" if config is CONFIG else "train"
    assert [told["command"] for told in trainer.told] == ["initialize", command, command]
    assert not any(told.get("validate") or "keep_as" in told for told in trainer.told)
    if command == "train":
        assert all(told["correction"] is told["accepted"] is None for told in trainer.told[1:])
    assert ledger.status().runs[0].drawn == 2


@pytest.mark.parametrize("config", [CONFIG, HOSPITAL], ids=["patient", "hospital"])
def test_what_is_kept_of_a_round_is_written_as_the_server_asks(config: Any, tmp_path: Path) -> None:
    private, ledger = answers(tmp_path, config)
    replies = [FLModelUtils.from_shareable(private.answer(model(up=up), Trainer())) for up in ({"name": "int8"}, None)]
    assert replies[0].meta == replies[1].meta, "asked again, whatever for, the same bytes leave"
    payload = payload_of(from_bytes(ledger.bytes_to_send(replies[0].meta["release_id"])))
    assert payload is not None
    written = decode(payload, layout_of(ARRAYS), READ_CODEC.validate_python({"name": "int8"}))
    plain, ledger = answers(tmp_path / "plain", config)
    release_id = FLModelUtils.from_shareable(plain.answer(model(), Trainer())).meta["release_id"]
    bounded = from_bytes(ledger.bytes_to_send(release_id))
    np.testing.assert_allclose(written["conv.weight"], bounded["conv.weight"], rtol=1e-2)


def test_a_site_that_lacks_the_model_says_so_before_it_is_charged(tmp_path: Path) -> None:
    private, ledger = answers(tmp_path)
    change = model(index=1)
    change.meta |= {"base": "0" * 64, "down": True}
    change.params = {}
    with pytest.raises(FedVoxelError, match=LACKS_MODEL):
        private.answer(change, Trainer())
    assert ledger.status().entries == 0


def test_a_model_of_another_layout_costs_nothing(tmp_path: Path) -> None:
    private, ledger = answers(tmp_path)
    trainer = Trainer()
    for wrong in ({"conv.weight": np.zeros(4, np.float32)}, {"other": np.zeros(3, np.float32)}):
        with pytest.raises(FedVoxelError, match="wrong"):
            private.answer(model(**wrong), trainer)
    assert ledger.status().entries == 0 and [told["command"] for told in trainer.told] == ["initialize"]


def test_a_trainer_that_cannot_start_costs_nothing(tmp_path: Path) -> None:
    private, ledger = answers(tmp_path)
    with pytest.raises(CohortError):
        private.answer(model(), Trainer(CohortError("fewer patients than a batch")))
    assert ledger.status().entries == 0
