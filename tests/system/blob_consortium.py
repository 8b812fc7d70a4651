"""A consortium of two small hospitals whose scans are made-up blobs, and a job that trains on them in seconds."""

import json
from pathlib import Path
from typing import Any

from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.governance.consortium import Consortium
from tests.training.conftest import training_section, write_blobs

SCIENTIST = "scientist@consortium.example"
CLINICIAN = "clinician@hospital-a.example"
SITES = ("hospital-a", "hospital-b")

PROJECT = """
api_version: 3
name: blobs
participants:
  - {name: server.consortium.example, type: server, org: consortium, fed_learn_port: 29000, default_host: localhost,
     bind_host: 127.0.0.1}
  - {name: hospital-a, type: client, org: hospital_a}
  - {name: hospital-b, type: client, org: hospital_b}
  - {name: scientist@consortium.example, type: admin, org: consortium, role: lead}
  - {name: clinician@hospital-a.example, type: admin, org: hospital_a, role: member}
builders:
  - path: nvflare.lighter.impl.workspace.WorkspaceBuilder
  - path: fedvoxel.flare.builders.SitePolicyBuilder
  - path: nvflare.lighter.impl.static_file.StaticFileBuilder
    args: {config_folder: config, scheme: http}
  - path: nvflare.lighter.impl.cert.CertBuilder
  - path: nvflare.lighter.impl.signature.SignatureBuilder
"""


def make_blob_consortium(folder: Path, port: int) -> Consortium:
    """Makes the kits, and twelve cases for each hospital."""
    project = folder / "consortium.yml"
    project.write_text(PROJECT)
    consortium = create_consortium(project, folder / "workspace", port)
    for site in SITES:
        write_blobs(consortium.kit(site) / "local", 12)
        describe_cohort(consortium, site)
    return consortium


def describe_cohort(consortium: Consortium, site: str, **changes: Any) -> None:
    """Writes the cohort `blobs` into a site's own file; `changes` replace parts of it."""
    path = consortium.kit(site) / "local" / "fedvoxel_site.json"
    cohort = {
        "source": {"layout": "csv", "table": "cases.csv"},
        "classes": {"blob": 1},
        "split": {"validation": 0.2, "test": 0.2},
    }
    described = json.loads(path.read_text()) | {"compute": {"threads": 1, "device": "cpu"}}
    path.write_text(json.dumps(described | {"cohorts": {"blobs": cohort | changes}}))


def job_documents(**changes: Any) -> dict[str, Any]:
    """Returns the files of a one-round job on the blobs; `changes` replace parts of its training section."""
    task = {"cohort": "blobs", "classes": ["blob"], "plan": {}, "training": training_section(**changes)}
    server = {
        "format_version": 2,
        "server": {"task_request_interval": 0.2},
        "workflows": [
            {
                "id": "fedvoxel",
                "path": "fedvoxel.flare.controller.FedAvgController",
                "args": {"run_key": "blobs", "rounds": {"num_rounds": 1, "min_sites": 2}},
            }
        ],
    }
    executor = {"path": "fedvoxel.flare.executor.SiteExecutor", "args": {"run_key": "blobs", **task}}
    tasks = ["initialize", "train", "validate", "submit_model"]
    return {
        "meta.json": {"name": "blobs", "min_clients": 2, "deploy_map": {"app": ["@ALL"]}},
        "app/config/config_fed_server.json": server,
        "app/config/config_fed_client.json": {
            "format_version": 2,
            "executors": [{"tasks": tasks, "executor": executor}],
        },
    }


def write_job(folder: Path, documents: dict[str, Any]) -> Path:
    """Writes a job's files as they are, right or wrong, and returns the job folder."""
    for name, content in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder
