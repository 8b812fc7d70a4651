"""ClearML: an offline session, a ZIP that ClearML's Python imports later.

Nothing is sent from here, and no key is asked for. The client is told to look at neither the repository nor anything
that this process has loaded. Each session holds the whole run, and its ZIP takes the place of the one before.
"""

import io
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from fedvoxel.ops.trackers.content import Point, TrackedRun
from fedvoxel.records.atomic import copy_file

_LOOKED_AT = (
    "catboost", "detect_repository", "fastai", "gradio", "hydra", "joblib", "jsonargparse", "lightgbm", "matplotlib",
    "megengine", "pytorch", "scikit", "tensorboard", "tensorflow", "tfdefines", "xgboost",
)  # fmt: skip
"""What ClearML's client would look at by itself; each has to be named to be left alone."""


class ClearmlTracker:
    """Writes offline sessions. ClearML has one task for each process at a time."""

    name = "ClearML"
    whole = True

    def __init__(self, folder: Path, project: str) -> None:
        """Touches no file; sessions go to `folder`."""
        self._folder, self._project = folder, project
        self._task: Any = None
        self._handle = ""

    def start(self, run: TrackedRun, handle: str | None) -> str:
        """Begins an offline session; the handle is the name of its ZIP."""
        from clearml import Task

        Task.set_offline(True)
        # It tells of each session on standard output, which belongs to the command.
        with redirect_stdout(io.StringIO()):
            self._task = Task.init(
                project_name=self._project,
                task_name=run.name,
                task_type=Task.TaskTypes.training,
                tags=[run.key],
                reuse_last_task_id=False,
                auto_connect_frameworks=dict.fromkeys(_LOOKED_AT, False),
                auto_connect_arg_parser=False,
                auto_connect_streams=False,
                auto_resource_monitoring=False,
            )
        self._handle = handle or f"{run.key}-{run.id[:8]}"
        return self._handle

    def log_params(self, params: Mapping[str, str]) -> None:
        """Sets parameters, in the section `General`."""
        self._task.update_parameters({f"General/{name}": value for name, value in params.items()})

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Sets them as parameters, in the section `FedVoxel`: ClearML's tags have no values."""
        self._task.update_parameters({f"FedVoxel/{name}": value for name, value in tags.items()})

    def log_points(self, points: Sequence[Point]) -> None:
        """Reports scalars: what stands before the first `/` of a metric is the chart, the rest its line."""
        logger = self._task.get_logger()
        for one in points:
            title, _, series = one.metric.partition("/")
            logger.report_scalar(title=title, series=series or "all", value=one.value, iteration=one.round)

    def log_file(self, name: str, content: bytes) -> None:
        """Puts a file into the session as an artefact."""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).write_bytes(content)
            self._task.upload_artifact(name, artifact_object=str(Path(folder) / name), wait_on_upload=True)

    def finish(self, run: TrackedRun) -> str:
        """Closes the session and puts its ZIP into the folder."""
        written = Path(self._task.get_offline_mode_folder())
        with redirect_stdout(io.StringIO()):
            self._task.close()
        packed, target = written.with_name(f"{written.name}.zip"), self._folder / f"{self._handle}.zip"
        copy_file(packed, target)
        packed.unlink()
        shutil.rmtree(written, ignore_errors=True)
        return f"import it when you want to with: clearml.Task.import_offline_session({str(target)!r})"
