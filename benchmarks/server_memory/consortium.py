"""Makes a consortium of many simulated sites, and the job that they run."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from benchmarks import ROOT
from benchmarks.server_memory.site import COHORT
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.governance.consortium import Consortium
from fedvoxel.governance.job_folder import parse_job, read_job_folder, write_job_folder
from fedvoxel.privacy.policy import NoBudget, grant
from fedvoxel.records.atomic import write_text

RUN_KEY = "benchmark_server_memory"
_EXECUTOR = "benchmarks.server_memory.site.RandomUpdates"
_CONSORTIUM = ROOT / "provisioning" / "consortium.yml"


def make_consortium(work: Path, sites: int, port: int) -> Consortium:
    """Makes kits for the usual server and data scientist, and for `sites` simulated sites."""
    described = yaml.safe_load(_CONSORTIUM.read_text(encoding="utf-8"))
    described["name"] = f"memory_{sites}"
    kept = [one for one in described["participants"] if one["type"] == "server" or one.get("role") == "lead"]
    simulated = [{"name": f"site-{index:03d}", "type": "client", "org": f"site_{index:03d}"} for index in range(sites)]
    described["participants"] = kept + simulated
    described["builders"][1]["args"] = {"allow_classes": [_EXECUTOR]}
    path = work / f"consortium-{sites}.yml"
    write_text(path, yaml.safe_dump(described, sort_keys=False))
    shutil.rmtree(work / f"consortium-{sites}", ignore_errors=True)
    made = create_consortium(path, work / f"consortium-{sites}", port)
    for site in made.sites:
        grant(made.kit(site) / "local", COHORT, NoBudget())
    return made


def write_job(destination: Path, rounds: int, sites: int) -> Path:
    """Writes the hippocampus job with its server side as it is, and the simulated executor at the sites."""
    job = read_job_folder(ROOT / "jobs" / "hippocampus_fedavg")
    documents: dict[str, Any] = dict(job.documents)
    arguments = documents[job.server_document]["workflows"][0]["args"]
    arguments["run_key"] = RUN_KEY
    arguments["rounds"] |= {"num_rounds": rounds, "min_sites": sites, "max_cases_per_site": 1000}
    documents[job.client_document]["executors"][0]["executor"] = {"path": _EXECUTOR, "args": {"run_key": RUN_KEY}}
    shutil.rmtree(destination, ignore_errors=True)
    write_job_folder(parse_job(documents), destination)
    return destination
