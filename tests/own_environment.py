"""An interpreter with packages whose pins collide with ours: an environment of its own, over what this process has."""

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def python_with(folder: Path, constraints: str, *packages: str) -> Path:
    """Returns the interpreter of a new environment; its own packages come before those of this process.

    Args:
        folder: Where it is made.
        constraints: Name of a file of pins in the clone.
        packages: What to install.
    """
    _done(sys.executable, "-m", "venv", str(folder))
    python = folder / "bin" / "python"
    (own,) = (folder / "lib").glob("python3*/site-packages")
    (own / "theirs.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    _done(str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / constraints), *packages)
    return python


def _done(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
