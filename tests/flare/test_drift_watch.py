"""The server's side of a drift watch: a site that tells something else is named, and not counted."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.drift.result import DriftWatchResult
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.drift_watch import DriftWatchController
from fedvoxel.flare.gathered import Gathered
from fedvoxel.flare.site_tasks import OnReply
from tests.federation.drift.test_answers import answer_values, cells, question

FEW = {"schema_version": 1, "minimum_images": 5, "below_minimum": True}


class Workspace:
    """Is a server's workspace."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get_root_dir(self) -> str:
        return str(self.root)

    def get_site_config_dir(self) -> str:
        return str(self.root / "local")


class Controller(DriftWatchController):
    """Is a controller whose sites have answered already."""

    def __init__(self, root: Path, replies: dict[str, Any], **words: Any) -> None:
        super().__init__(**(question().model_dump(mode="json") | words))
        self.replies, self.said, self.fl_ctx = replies, list[str](), FLContext()
        self.fl_ctx.set_prop(FLContextKey.WORKSPACE_OBJECT, Workspace(root), private=True)

    def info(self, msg: str) -> None:
        self.said.append(msg)

    def ask(self, task_name: str, model: FLModel, sites: Collection[str], wait: Wait, on_reply: OnReply) -> Gathered:
        refused = {}
        for site, watch in self.replies.items():
            try:
                on_reply(site, FLModel(metrics={"arrays": 0}, meta={"watch": watch}))
            except UpdateError as error:
                refused[site] = str(error)
        return Gathered({site: "no reply" for site in sites if site not in self.replies}, refused)


def kept(root: Path) -> Path:
    return root / "state" / "drift_watches" / "blobs.json"


def test_whoever_lies_about_cells_is_named_and_the_others_count(tmp_path: Path) -> None:
    replies = {
        "a": answer_values(),
        "negative": answer_values(**cells(20, 12, -8, 16)),
        "halves": answer_values(**cells(20, 12, 7.5, 0.5)),
        "small": answer_values(**cells(26, 10, 4, 0)),
        "more": answer_values(unusual=41),
        "edges": answer_values(distances={"edges": [1.0, 2.0, 3.5], "counts": [20, 12, 8, 0]}),
        "other": answer_values(package="cd" * 32),
        "many": answer_values(images=110, **cells(60, 42, 8, 0)),
        "few": FEW,
        "nothing": None,
    }
    controller = Controller(tmp_path, replies)
    found = DriftWatchResult.model_validate(controller.answers([*replies, "away"]))
    assert set(found.told) == {"a"} and set(found.absent) == {*replies, "away"} - {"a"}
    assert found.absent["edges"] == "the answer's cells are not those of the job"
    assert found.absent["other"] == "the answer is about another package"
    assert "below minimum" in found.absent["few"] and found.absent["away"] == "no reply"
    assert json.loads(kept(tmp_path).read_text()) == found.model_dump(mode="json")
    assert any("said=a, 40 images: " in line for line in controller.said), controller.said


def test_a_look_at_nothing_does_not_replace_the_last(tmp_path: Path) -> None:
    Controller(tmp_path, {"a": answer_values()}).answers(["a"])
    before = kept(tmp_path).read_text()
    found = DriftWatchResult.model_validate(Controller(tmp_path, {"a": FEW}).answers(["a"]))
    assert found.verdict == "nothing told" and kept(tmp_path).read_text() == before


def test_a_job_that_asks_nonsense_asks_nobody(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model"):
        Controller(tmp_path, {"a": answer_values()}, model="../blobs").answers(["a"])
