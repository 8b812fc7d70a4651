"""What a scan shows a person of code that came with a job, and what it lets nobody approve."""

import pytest

from fedvoxel.governance.code_scan import CodeFinding, scan
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
        ("import pickle", "loads objects"),
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


def test_findings_say_where() -> None:
    (finding,) = found("a = 1\nimport socket\n")
    assert str(finding) == "custom/a.py:2: imports socket: reaches the network"
