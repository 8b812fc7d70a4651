"""Weights & Biases: an offline run, which `wandb sync` uploads when somebody decides to.

Nothing is sent from here, and no key is asked for. The client is told to keep the machine out of it: no host, no list
of packages, no code, no console, no measurements of the machine. Each session holds the whole run under the same id,
so that the newest folder is all that has to be synced.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedvoxel.ops.trackers.content import Point, TrackedRun
from fedvoxel.records.atomic import write_bytes


class WandbTracker:
    """Writes offline runs."""

    name = "Weights & Biases"
    whole = True

    def __init__(self, folder: Path, project: str) -> None:
        """Touches no file; runs go to `folder/wandb`."""
        self._folder, self._project = folder, project
        self._run: Any = None

    def start(self, run: TrackedRun, handle: str | None) -> str:
        """Begins an offline run; the handle is the run's id at W&B."""
        import wandb

        self._folder.mkdir(parents=True, exist_ok=True)
        handle = handle or f"fv{run.id}"
        settings = wandb.Settings(
            mode="offline",
            silent=True,
            console="off",
            disable_code=True,
            disable_git=True,
            save_code=False,
            host="fedvoxel",
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        self._run = wandb.init(
            dir=str(self._folder),
            project=self._project,
            name=run.name,
            id=handle,
            settings=settings,
            reinit="create_new",
        )
        self._run.define_metric("round", hidden=True)
        self._run.define_metric("*", step_metric="round")
        return handle

    def log_params(self, params: Mapping[str, str]) -> None:
        """Adds to the run's configuration."""
        self._run.config.update(dict(params), allow_val_change=True)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Adds to the configuration too, under `fedvoxel`: W&B's tags are words of at most 64 letters."""
        self._run.config.update({f"fedvoxel.{name}": value for name, value in tags.items()}, allow_val_change=True)

    def log_points(self, points: Sequence[Point]) -> None:
        """Logs one row for each round, with the round as the axis of every chart."""
        for index in sorted({one.round for one in points}):
            row: dict[str, float] = {one.metric: one.value for one in points if one.round == index}
            self._run.log(row | {"round": index})

    def log_file(self, name: str, content: bytes) -> None:
        """Puts a file into the run."""
        write_bytes(Path(self._run.dir) / name, content)

    def finish(self, run: TrackedRun) -> str:
        """Closes the offline run, and says how to upload it."""
        folder = Path(self._run.dir).parent
        self._run.finish(exit_code=int(run.failed))
        return f"upload it when you want to with: wandb sync {folder}"
