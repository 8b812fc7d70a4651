"""A Python that has Kubeflow Pipelines: this one, or an environment of its own over this one's packages."""

import atexit
import os
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

import pytest

import fedvoxel

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("kfp", "kfp-kubernetes", "kubeflow-katib-api")


@cache
def kfp_python() -> Path:
    """Returns the interpreter; skips the test where Kubeflow Pipelines cannot be installed."""
    if find_spec("kfp") is not None:
        return Path(sys.executable)
    folder = Path(mkdtemp(prefix="fedvoxel_kfp_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    python = folder / "bin" / "python"
    (own,) = (folder / "lib").glob("python3*/site-packages")
    (own / "below.pth").write_text(sysconfig.get_path("purelib"))
    command = [str(python), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints-pipelines.txt"), *NEEDED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    if done.returncode != 0:
        pytest.skip(f"Kubeflow Pipelines cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")
    return python


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
