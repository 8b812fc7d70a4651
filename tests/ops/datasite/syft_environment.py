"""An environment with the real syft-job: this one where it has it, else one of its own beside this one."""

import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def python_with_syft(folder: Path) -> Path:
    """Returns an interpreter; makes one in `folder`, with what is installed here and the pins of the clone."""
    if find_spec("syft_job") is not None:
        return Path(sys.executable)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    (packages / "beside.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "-c", str(ROOT / "constraints.txt"), "syft-job>=0.1.40,<0.2"], check=True)
    return python
