"""What a scan shows a person of code that came with a job, and what it lets nobody approve."""

import pytest

from fedvoxel.governance.code_places import CodeFinding
from fedvoxel.governance.code_scan import scan
from fedvoxel.governance.submission import Submission


def found(text: str | bytes, path: str = "custom/a.py") -> tuple[CodeFinding, ...]:
    return scan({path: text.encode() if isinstance(text, str) else text}, (path,))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import socket", "network"),
        ("import urllib.request", "network"),
        ("def f():\n    from http import client", "network"),
        ("import subprocess as s", "starts programs"),
        ("from os import system", "the machine"),
        ("import sys", "the machine"),
        ("from torch import os", "the machine"),
        ("torch.os.system('x')", "the machine"),
        ("random._os.system('x')", "the machine"),
        ("optional_import('os', name='system')", "the machine"),
        ("import torch.multiprocessing", "starts programs"),
        ("match a:\n    case object(os=o): o.system('x')", "the machine"),
        ("numpy.loadtxt('https://somewhere')", "network"),
        ("o = open\no('x', 'w')", "another name"),
        ("from codecs import open as o", "another name"),
        ("w = path.write_text", "write or remove"),
        ("open('x', 'w')", "for writing"),
        ("open('x', mode)", "for writing"),
        ("open('x', mode='a+')", "for writing"),
        ("open('x', **more)", "for writing"),
        ("path.open('wb')", "for writing"),
        ("path.write_text('x')", "write or remove"),
        ("thing.__class__", "looks at __class__"),
    ],
)
def test_what_reaches_outside_is_shown(text: str, what: str) -> None:
    findings = found(text)
    assert any(what in finding.what for finding in findings)
    assert not any(finding.refused for finding in findings)


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')", "exec(text)", "run = eval", "__import__('os')", "compile(a, b, c)", "import ctypes",
        "import importlib", "from importlib import import_module", "import builtins", "import marshal, json",
        "().__class__.__bases__", "f.__globals__", "object.__subclasses__()", "getattr(a, name)",
        "getattr(a, '__globals__')", "globals()['a']", "from x import eval as y", "import os\nos.__builtins__",
        "import sys\nsys.modules['builtins'].exec(a)", "builtins.exec(a)", "import sys as s\ns.modules.get('os')",
        "g = getattr\ng(f, '__glo' + 'bals__')['a']", "map(getattr, a, b)", "getattr.__call__(f, n)", "getattr(*a)",
        "b = print.__self__\nb.getattr(b, 'ev' + 'al')", "torch.builtins", "from torch import builtins", "json._ctypes",
        "match f:\n    case object(__globals__=g): g", "match f:\n    case C(g): g", "class C: __match_args__ = a",
        "from operator import attrgetter", "operator.attrgetter('a')", "operator.methodcaller('a')", "a.__dict__['b']",
        "string.Formatter().get_field(n, (f,), {})", "'{0.__globals__}'.format(f)", "__spec__.loader", "f.__closure__",
        "object.__setattr__(f, n, c)", "super().__setattr__(n, 'a')", "getattr(f, '__co' 'de__')", "f.__getattribute__",
        "(lambda: (yield))().gi_frame.f_builtins", "e.__traceback__.tb_frame", "sys._getframe()", "gc.get_referents(f)",
        "import pickle", "import _pickle", "import cloudpickle", "from joblib import load", "monai.data.utils.pickle",
        "numpy.load('custom/notes.txt', allow_pickle=True)", "numpy.load(p, None, True)", "numpy.load(p, **{a: b})",
        "torch.load(p, weights_only=no)", "f(**{'allow_pickle': True})", "l = numpy.load\nl(p, None, True)",
        "from numpy import load as l", "from numpy import load\nl = load", "torch.load(p, pickle_module=m)",
        "torch.serialization.add_safe_globals([f])", "pandas.read_pickle(p)", "yaml.load(p, Loader=yaml.Loader)",
        "from monai.bundle import ConfigParser", "import monai\nmonai.bundle.run('x')", "from monai import bundle",
        "from monai.auto3dseg.utils import ConfigParser", "monai.utils.optional_import('o' + 's')",
        "optional_import('pickle')", "optional_import(name='exec', module='builtins')",
        "o = monai.utils.optional_import",
        "from monai.utils import optional_import as o", "logging.StrFormatter", "optional_import('a', '', f, 'b')",
        "import hydra",
        "monai.utils.run_cmd(a)", "torch.hub.load(a, b)", "import torch.utils.cpp_extension", "from torch import fx",
        "import logging.config", "from torch.utils import benchmark", "import timeit", "table.eval('a')", "import fire",
        "from torch.hub import *", "def f(a: \"__import__('os')\"): ...", "a: list['eval(b)'] = []", "breakpoint()",
        "typing.get_type_hints(a)", "def f(a):\n    # type: (eval('a')) -> int\n    return a",
        b"# coding: utf-7\n# +AAo-import os\n",
        "from sys import modules", "from sys import *", "getattr(s, 'modules')", "getattr(b, 'exec')",
        "def broken(:", b"\xff\xfe",
    ],
)  # fmt: skip
def test_what_a_reader_cannot_follow_is_refused(text: str | bytes) -> None:
    assert any(finding.refused for finding in found(text))


@pytest.mark.parametrize("path", ["custom/a.so", "custom/a.pyc", "custom/run", "custom/a.sh", "custom/a.ipynb"])
def test_what_is_no_source_text_is_refused(path: str) -> None:
    (finding,) = found(b"\x7fELF", path)
    assert finding.refused and "no source text" in finding.what


def test_a_program_to_start_the_job_with_is_refused() -> None:
    (finding,) = scan({}, ("meta.json",))
    assert finding.refused


def test_a_file_of_the_app_with_the_metas_name_hides_no_program() -> None:
    app = {"meta.json": b"{}", "custom/a.py": b"a = 1\n"}
    started = Submission({"name": "job", "launcher_spec": {"site": {"image": "x"}}}, app)
    assert [finding.what for finding in scan(started.files, started.code) if finding.refused] == [
        "says what program or image the job is started with"
    ]
    harmless = Submission({"name": "job"}, app)
    assert scan(harmless.files, harmless.code) == ()


def test_plain_training_code_is_not_in_the_way() -> None:
    text = (
        "import torch\nfrom torch import nn\n\nclass Net(nn.Module):\n    def run(self, x):\n        return x.relu()\n"
    )
    assert found(text) == ()
    assert found("open('x').read()\nopen('y', 'rb')\nre.compile('a')\nnet.modules()\n") == ()
    assert found("about = 1", "custom/README.md") == ()


TRAINER = '''"""Trains a U-Net; see `Trainer.__init__`."""
from __future__ import annotations

import json
import logging
import operator
from dataclasses import dataclass
from timeit import default_timer
from typing import Literal

import monai
import numpy as np
import torch
import torch.nn.functional as F
from monai.data import CacheDataset, DataLoader, decollate_batch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import Compose, LoadImaged, RandFlipd
from monai.utils import optional_import
from torch.amp import GradScaler, autocast
from torch.nn.modules.loss import _Loss

from .nets import *

torch.backends.cudnn.benchmark = True
log = logging.getLogger(__name__)
logging.StreamHandler().setFormatter(logging.Formatter("%(message)s"))
rearrange, _ = optional_import("einops", name="rearrange")

@dataclass(frozen=True)
class Options:
    mode: Literal["train", "eval"] = "train"
    patch: "tuple[int, int, int]" = (96, 96, 96)

    def __post_init__(self):
        object.__setattr__(self, "patch", tuple(self.patch))

class Trainer:
    def __init__(self, options: "Options") -> None:
        super().__init__()
        self.net = UNet(spatial_dims=3, in_channels=1, out_channels=2, channels=(16, 32), strides=(2,))
        self.loss, self.start = DiceCELoss(to_onehot_y=True, softmax=True), default_timer()
        log.info("%s %s", self.__class__.__name__, monai.__version__)

    def load(self, path: str) -> None:
        self.net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.cases = np.load("cases.npy", allow_pickle=False)
        with open("settings.json") as file:
            self.settings = json.load(file)

    def step(self, batch, optimizer, scaler):
        self.net.train()
        with autocast("cuda"):
            loss = self.loss(self.net(batch["image"]), batch["label"])  # type: ignore[no-any-return]
        scaler.scale(loss).backward()
        return loss.item() if hasattr(loss, "item") else getattr(loss, "value", 0)

    @torch.no_grad()
    def score(self, loader: DataLoader) -> float:
        self.net.eval()
        for name, module in self.net.named_modules():
            module.requires_grad_(False)
        best = max(enumerate(map(float, loader)), key=operator.itemgetter(1))
        return torch.stack([torch.tensor(best[1])]).trace() if best else F.relu(torch.zeros(1))

if __name__ == "__main__":
    Trainer(Options())
'''


def test_an_ordinary_trainer_is_not_refused() -> None:
    assert [str(finding) for finding in found(TRAINER) if finding.refused] == []
    assert {finding.what for finding in found(TRAINER)} == {"looks at __class__"}


def test_what_settings_have_flare_build_beside_code_is_looked_at() -> None:
    """With code in a job FLARE asks no list of classes."""

    def named(path: str) -> list[tuple[str, bool]]:
        made = b'{"executors": [{"tasks": ["train"], "executor": {"path": "%s", "args": {}}}]}' % path.encode()
        app = {"config/config_fed_client.json": made, "custom/trainer.py": b"a = 1\n"}
        return [(finding.file, finding.refused) for finding in scan(app, ("custom/trainer.py",))]

    assert set(named("builtins.exec")) == {("config/config_fed_client.json", True)}
    assert named("subprocess.Popen") == [("config/config_fed_client.json", False)]
    assert named("trainer.Trainer") == named("nvflare.app_opt.pt.file_model_persistor.PTFileModelPersistor") == []


def test_findings_say_where() -> None:
    (finding,) = found("a = 1\nimport socket\n")
    assert str(finding) == "custom/a.py:2: imports socket: reaches the network"
