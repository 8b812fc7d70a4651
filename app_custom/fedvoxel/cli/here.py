"""Hospitals and a server on this machine, as the quickstart and experiments set them up and show their runs."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.governance.consortium import Consortium
    from fedvoxel.ops.demo_data import DemoData
    from fedvoxel.ops.snapshot import Snapshot


def keep_home_inside(work: Path) -> None:
    """Makes `work`, and points this process's home there.

    FLARE's tools write a history and settings to the home folder; nothing may be written outside the work folder.
    """
    work.mkdir(parents=True, exist_ok=True)
    os.environ["HOME"] = str(work / "home")


def provision(console: "Console", data: "DemoData", work: Path, clone: Path) -> "Consortium":
    """Makes the kits, or takes those that are there, and describes the hospitals' cohorts in them.

    Raises:
        ConfigError: The clone has no such consortium file.
        ConsortiumError: The kits could not be made.
    """
    from fedvoxel.flare.provisioning import create_consortium
    from fedvoxel.ops.demo_data import describe_cohorts

    project = in_clone(clone, f"provisioning/{data.consortium_file}")
    consortium = create_consortium(project, work / data.job, _free_port())
    describe_cohorts(consortium, data, threads=max(1, (os.cpu_count() or 1) // len(data.hospitals)))
    console.print(f"  {len(consortium.sites)} hospitals: {', '.join(consortium.sites)}", highlight=False)
    return consortium


@contextmanager
def run_screen(console: "Console") -> Iterator[Callable[["Snapshot"], None]]:
    """Yields what shows the run: a live view in a terminal, a line for each round elsewhere."""
    from rich.live import Live

    from fedvoxel.cli.watch_view import render

    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield lambda snapshot: live.update(render(snapshot, time.time()), refresh=True)
        return
    shown: set[int] = set()

    def tell(snapshot: "Snapshot") -> None:
        progress = snapshot.progress
        if progress and progress.phase == "training" and progress.round not in shown:
            shown.add(progress.round)
            console.print(f"  round {progress.round + 1} of {progress.rounds_planned}", highlight=False)

    yield tell


def in_clone(clone: Path, path: str) -> Path:
    """Returns a path of the project's clone.

    Raises:
        ConfigError: It is not there.
    """
    from fedvoxel.errors import ConfigError

    found = clone / path
    if not found.exists():
        raise ConfigError(
            f"expected {path} in the clone of the project: run scripts/quickstart there, or name it with --clone"
        )
    return found


def _free_port() -> int:
    """Returns a port on loopback that nobody listens on; the file's own may be in use by a real server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
