"""MLflow: one run of an experiment on a tracking server.

The experiment is made by the server's own rules, so that files go where the server keeps them. A login or token comes
from MLflow's own variables (MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD), which
only MLflow's client reads.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from fedvoxel.errors import TrackerError
from fedvoxel.ops.trackers.content import Point, TrackedRun

RUN_ID_TAG = "fedvoxel.run_id"
"""By which a run is found again that was begun, and whose begin could not be noted."""

_BATCH = 100
"""MLflow takes at most 100 parameters or tags in a call."""

T = TypeVar("T")


class MlflowTracker:
    """Sends to a tracking server."""

    name = "MLflow"
    whole = False

    def __init__(self, url: str, experiment: str) -> None:
        """Asks nothing of the server yet."""
        self._url, self._experiment = url, experiment
        self._client: Any = None
        self._run_id = ""

    def start(self, run: TrackedRun, handle: str | None) -> str:
        """Finds the run, or begins it; the handle is MLflow's run id."""
        self._client = mlflow_client(self._url)
        experiment = self._experiment_id()
        found = handle or self._begun(experiment, run)
        if found is None:
            tags = {RUN_ID_TAG: run.id}
            self._run_id = self._client.create_run(experiment, run_name=run.name, tags=tags).info.run_id
            return self._run_id
        self._run_id = found
        if self._client.get_run(found).info.lifecycle_stage == "deleted":
            raise TrackerError("the run was deleted at MLflow; restore it there, or track into another --project")
        self._client.update_run(found, status="RUNNING")
        return found

    def log_params(self, params: Mapping[str, str]) -> None:
        """Logs parameters."""
        from mlflow.entities import Param

        for some in _batches([Param(name, value) for name, value in params.items()]):
            self._client.log_batch(self._run_id, params=some)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags, each under `fedvoxel.`."""
        from mlflow.entities import RunTag

        for some in _batches([RunTag(f"fedvoxel.{name}", value) for name, value in tags.items()]):
            self._client.log_batch(self._run_id, tags=some)

    def log_points(self, points: Sequence[Point]) -> None:
        """Logs metrics, with the round as step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(one.metric, one.value, now, one.round) for one in points]
        self._client.log_batch(self._run_id, metrics=metrics)

    def log_file(self, name: str, content: bytes) -> None:
        """Uploads a text file, in place of one of the same name."""
        self._client.log_text(self._run_id, content.decode("utf-8"), name)

    def finish(self, run: TrackedRun) -> str:
        """Ends the run at MLflow where it has ended; otherwise it goes on there."""
        if run.ended:
            ended = "KILLED" if run.status == "aborted" else "FAILED" if run.failed else "FINISHED"
            self._client.set_terminated(self._run_id, ended)
        return f"look at run {self._run_id} of experiment {self._experiment}"

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment)
        return str(found.experiment_id if found else self._client.create_experiment(self._experiment))

    def _begun(self, experiment: str, run: TrackedRun) -> str | None:
        found = self._client.search_runs([experiment], f"tags.`{RUN_ID_TAG}` = '{run.id}'", max_results=1)
        return str(found[0].info.run_id) if found else None


def mlflow_client(url: str) -> Any:
    """Returns a client of a tracking server and its registry."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=url, registry_uri=url)


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for begin in range(0, len(items), _BATCH):
        yield items[begin : begin + _BATCH]
