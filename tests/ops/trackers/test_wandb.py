"""A real offline run of Weights & Biases, read back from its file."""

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.federation.outcome import write_outcome
from fedvoxel.ops.trackers.content import Point
from fedvoxel.ops.trackers.run_record import find_record
from tests.ops.trackers.command import files_with, track
from tests.ops.trackers.fake_tracker import SECRET, under_way
from tests.sample_run import sample_outcome

pytestmark = pytest.mark.slow
pytest.importorskip("wandb", reason="needs Weights & Biases: pip install -c constraints.txt '.[wandb]'")

_BLOCK = 32768


def _records(path: Path) -> Iterator[Any]:
    """Yields the records of a .wandb file: LevelDB's framing, after a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    content, place, whole = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while place + 7 <= len(content):
        left = _BLOCK - place % _BLOCK
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        piece = content[place + 7 : place + 7 + length]
        place += 7 + length
        whole = piece if kind in (1, 2) else whole + piece
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record


def _read(path: Path) -> tuple[list[dict[str, float]], dict[str, str], Any]:
    """Returns the rows, the configuration and the run's own record."""
    rows, config, run = [], {}, None
    for record in _records(path):
        kind = record.WhichOneof("record_type")
        if kind == "history":
            items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            rows.append(items)
        elif kind == "run":
            run = record.run
        if kind in ("run", "config"):
            updates = record.run.config.update if kind == "run" else record.config.update
            config |= {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in updates}
    return rows, config, run


def test_an_offline_run_holds_the_whole_run(tmp_path: Path) -> None:
    job, out = tmp_path / "job", tmp_path / "out"
    for number, outcome in enumerate((under_way(5), sample_outcome())):
        write_outcome(outcome, job / "outcome.json")
        done = track(tmp_path / "home", job, "--to", "wandb", "--out", out, "--project", "consortium")
        assert done.returncode == 0 and done.stderr == "", done.stderr
        assert len(list(out.glob("wandb/offline-run-*/*.wandb"))) == number + 1
    assert done.stdout.count("\n") == 2 and "upload it when you want to with: wandb sync " in done.stdout
    newest = Path(done.stdout.split("wandb sync ")[1].strip())
    (file,) = newest.glob("*.wandb")
    rows, config, run = _read(file)
    sent = find_record(str(job)).read().content
    names = {point.metric for point in sent.points}
    found = {Point(name, int(row["round"]), value) for row in rows for name, value in row.items() if name in names}
    assert found == set(sent.points)
    assert config["rounds_planned"] == "12" and config["fedvoxel.status"] == "finished"
    assert (run.display_name, run.project) == ("hippocampus_fedavg", "consortium")
    assert (newest / "files" / "outcome.json").read_bytes() == sent.files["outcome.json"]
    assert len({path.name.rsplit("-", 1)[1] for path in out.glob("wandb/offline-run-*")}) == 1, "one id for both"
    _keeps_the_machine_out(newest)

    again = track(tmp_path / "home", job, "--to", "wandb", "--out", out, "--project", "consortium")
    assert "has all of run" in again.stdout and len(list(out.glob("wandb/offline-run-*"))) == 2


def _keeps_the_machine_out(folder: Path) -> None:
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names.isdisjoint({"requirements.txt", "wandb-metadata.json", "output.log", "conda-environment.yaml"})
    assert files_with(folder, SECRET) == []
    (file,) = folder.glob("*.wandb")
    # A very short name is in any file by chance.
    assert socket.gethostname().encode() not in file.read_bytes() or len(socket.gethostname()) < 4
