"""Flower apps as a hospital may have installed them, and where they are found; Flower is not imported here."""

import importlib.util
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULE = "hospital_app"
IS_HERE = importlib.util.find_spec("flwr") is not None
needs_flower = pytest.mark.skipif(
    not IS_HERE,
    reason="needs the extra `flower`, which wants an environment of its own: tests/test_flower.py makes one",
)

_HEAD = """
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from fedvoxel.ops.flower.mods import send_update
import numpy as np

app = ClientApp({mods})

@app.train()
def train(message, context):
    weights = {{name: array.numpy() for name, array in message.content["arrays"].items()}}
    step = {{name: np.full_like(array, 0.01) for name, array in weights.items()}}
    local = {{name: weights[name] + step[name] for name in weights}}
    metrics = {{"num-examples": len(context.cases), "train_loss": 0.5}}
    def record(arrays):
        return ArrayRecord({{name: Array(array) for name, array in arrays.items()}})
    def reply(**records):
        return Message(content=RecordDict(records), reply_to=message)
{body}
"""

HONEST = "return reply(update=record(step), metrics=MetricRecord(metrics))"
WHOLE = "return reply(arrays=record(local), metrics=MetricRecord(metrics))"


def write_app(folder: Path, body: str = HONEST, mods: str = "") -> Path:
    """Writes an app that adds 0.01 to every weight and then does as `body` says; returns the folder that it is in."""
    folder.mkdir(exist_ok=True)
    (folder / f"{MODULE}.py").write_text(_HEAD.format(body=textwrap.indent(body, "    "), mods=mods))
    return folder


def app_of_the_page() -> str:
    """Returns the app that docs/flower.md ends up with."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "flower.md").read_text(), re.DOTALL)
    (found,) = [block for block in blocks if "context.cases" in block]
    return str(found)
