"""A small job that trains on made-up blobs, and hospitals that have such a cohort."""

import json
from pathlib import Path
from typing import Any

from fedvoxel.privacy.policy import NoBudget, grant
from tests.training.conftest import training_section, write_blobs

META = "meta.json"
SERVER = "app/config/config_fed_server.json"
CLIENT = "app/config/config_fed_client.json"


def job_documents(**training: Any) -> dict[str, Any]:
    """Returns the files of a one-round job on the blobs; keywords replace parts of its training section."""
    section = json.loads(json.dumps(training_section(**training)))
    task = {"cohort": "blobs", "classes": ["blob"], "plan": {}, "training": section}
    controller = {
        "id": "fedvoxel",
        "path": "fedvoxel.flare.controller.FedAvgController",
        "args": {
            "run_key": "blobs",
            "rounds": {"num_rounds": 1, "min_sites": 2},
            "plan_source": "fixed",
            "choices": "public",
        },
    }
    executor = {"path": "fedvoxel.flare.executor.SiteExecutor", "args": {"run_key": "blobs", **task}}
    tasks = ["initialize", "train", "validate", "submit_model"]
    return {
        META: {"name": "blobs", "min_clients": 2, "deploy_map": {"app": ["@ALL"]}},
        SERVER: {"format_version": 2, "server": {"task_request_interval": 0.2}, "workflows": [controller]},
        CLIENT: {"format_version": 2, "executors": [{"tasks": tasks, "executor": executor}]},
    }


def write_job(folder: Path, documents: dict[str, Any]) -> Path:
    """Writes a job's files, right or wrong; a string is written as it is."""
    for name, content in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def controller_of(documents: dict[str, Any]) -> dict[str, Any]:
    """Returns the server's workflow, to be changed."""
    found: dict[str, Any] = documents[SERVER]["workflows"][0]
    return found


def executor_of(documents: dict[str, Any]) -> dict[str, Any]:
    """Returns the sites' executor entry, to be changed."""
    found: dict[str, Any] = documents[CLIENT]["executors"][0]
    return found


def give_blobs(kit: Path, cases: int = 12) -> None:
    """Writes blobs into a site's kit and describes them as its cohort."""
    write_blobs(kit / "local", cases)
    describe_blobs(kit)


def describe_blobs(kit: Path, **changes: Any) -> None:
    """Describes the cohort `blobs` at a site, of which updates may leave; keywords replace parts of the description."""
    path = kit / "local" / "fedvoxel_site.json"
    cohort = {
        "source": {"layout": "csv", "table": "cases.csv"},
        "classes": {"blob": 1},
        "split": {"validation": 0.2, "test": 0.2},
    }
    site = json.loads(path.read_text()) | {"compute": {"threads": 1, "device": "cpu"}}
    path.write_text(json.dumps(site | {"cohorts": {"blobs": cohort | changes}}))
    grant(kit / "local", "blobs", NoBudget())


def change_policy(kit: Path, name: str, **changes: Any) -> None:
    """Writes the owner's own policy file, with some top-level keys changed."""
    own, shipped = kit / "local" / name, kit / "local" / f"{name}.default"
    own.write_text(json.dumps(json.loads((own if own.is_file() else shipped).read_text()) | changes))
