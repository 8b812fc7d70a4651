"""A Python that has Kubeflow Pipelines: this one, or an environment of its own over this one's packages."""

import atexit
import os
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

import fedvoxel
from tests.own_environment import python_with

NEEDED = ("kfp", "kfp-kubernetes", "kubeflow-katib-api")


@cache
def kfp_python() -> Path:
    """Returns the interpreter."""
    if find_spec("kfp") is not None:
        return Path(sys.executable)
    folder = Path(mkdtemp(prefix="fedvoxel_kfp_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return python_with(folder, "constraints-pipelines.txt", *NEEDED)


def pipeline_process(home: Path, *words: object) -> "subprocess.Popen[str]":
    """Starts `fedvoxel pipeline` with it, in a home and a process group of its own."""
    python = kfp_python()
    own = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "TMPDIR": str(home)}
    own["PYTHONPATH"] = str(Path(fedvoxel.__file__).parents[1])
    home.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "fedvoxel.cli.main", "pipeline", *map(str, words)]
    return subprocess.Popen(
        command,
        env=os.environ | own,
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_pipeline(home: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    """Runs `fedvoxel pipeline` with it to its end."""
    process = pipeline_process(home, *words)
    out, err = process.communicate(timeout=500)
    return subprocess.CompletedProcess(words, process.returncode, out, err)
