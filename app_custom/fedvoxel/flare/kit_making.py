"""Runs `nvflare provision` in a folder of its own, without the authority's key: certificates are laid out before."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

import fedvoxel
from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.authority_store import PASSPHRASE_VARIABLE
from fedvoxel.governance.consortium_file import ConsortiumFile
from fedvoxel.records.atomic import write_text

PACKAGE_ROOT = Path(fedvoxel.__file__).resolve().parents[1]
_TIMEOUT_S = 300


def make_kits(described: ConsortiumFile, certificates: Path, scratch: Path) -> Path:
    """Makes everyone's kit and returns the folder with them.

    Args:
        described: The consortium.
        certificates: The files for each participant's `startup/`; who has none there gets a kit that is of no use.
        scratch: A folder that is thrown away.

    Raises:
        ConsortiumError: FLARE could not make the kits.
    """
    project_file = scratch / "consortium.yml"
    write_text(project_file, yaml.safe_dump(described.with_certificates(certificates), sort_keys=False))
    command = [sys.executable, "-m", "nvflare.cli", "provision", "-p", str(project_file), "-w", str(scratch), "--force"]
    done = subprocess.run(
        command,
        cwd=scratch,
        env=child_environment({"HOME": str(scratch)}),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    made = scratch / described.name / "prod_00"
    if done.returncode != 0 or not made.is_dir():
        raise ConsortiumError(f"nvflare provision could not make the kits: {_reason(done.stdout + done.stderr)}")
    return made


def child_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Returns this process's environment with the running package importable, and `extra` on top.

    The passphrase of a certificate authority stays behind: no child needs it.
    """
    paths = [str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    inherited = {key: value for key, value in os.environ.items() if key != PASSPHRASE_VARIABLE}
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths), "FEDVOXEL_PYTHON": sys.executable, **(extra or {})}


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("ERROR:", "Error", "- "))] or lines[-1:] or ["no output"]
    return telling[0].removeprefix("ERROR:").strip()
