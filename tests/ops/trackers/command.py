"""`fedvoxel track` in a process of its own, as a person runs it, with secrets in its environment."""

import os
import subprocess
import sys
from pathlib import Path

import fedvoxel
from tests.ops.trackers.fake_tracker import SECRET

SECRETS = {"MLFLOW_TRACKING_TOKEN": SECRET, "WANDB_API_KEY": f"{SECRET}-wandb", "CLEARML_API_SECRET_KEY": SECRET}


def track(home: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command with a home folder of its own, and fails where a secret is in what it prints."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "WANDB", "CLEARML"))}
    source = str(Path(fedvoxel.__file__).parents[1])
    own = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "PYTHONPATH": source, "TMPDIR": str(home)}
    command = [sys.executable, "-m", "fedvoxel.cli.main", "track", *map(str, words)]
    home.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command,
        env=known | SECRETS | own | environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert SECRET not in done.stdout + done.stderr
    return done


def files_with(folder: Path, text: str) -> list[str]:
    """Returns the files below a folder that hold a text."""
    return [path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
