"""A pipeline over real hospitals: it is killed, it fails half-way, it is stopped by its gate, and goes on each time."""

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.kfp_environment import pipeline_process, run_pipeline

from .conftest import ROOT, SCIENTIST, SITES, SystemUnderTest, job_variant, wait_until

KEY = "pipeline_run"
RULE = {"minimum_dice": {"anterior": 0.0, "posterior": 0.0}, "minimum_cases": 2 * len(SITES)}


def write_settings(folder: Path, system: SystemUnderTest, **changes: Any) -> Path:
    settings = {
        "job": KEY,
        "kit": str(system.kit(SCIENTIST)),
        "gate": RULE,
        "describe": "model.json",
        "releases": "releases",
        "reason": "a test",
    }
    path = folder / "pipeline.json"
    path.write_text(json.dumps(settings | changes))
    return path


def jobs_of(system: SystemUnderTest) -> list[str]:
    return [job["job_id"] for job in system.session.list_jobs(name_prefix=KEY)]


def part(folder: Path, name: str) -> Any:
    return json.loads((folder / "steps" / f"{name}.json").read_text())["values"]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_pipeline_goes_on_where_it_ended_and_submits_one_job(system: SystemUnderTest, tmp_path: Path) -> None:
    job_variant(tmp_path, KEY, 2)
    folder, home = tmp_path / "run", tmp_path / "home"
    words = ("run", write_settings(tmp_path, system), "--folder", folder)
    description = Path(shutil.copy(ROOT / "provisioning" / "models" / "hippocampus.json", tmp_path / "model.json"))

    # Killed while it waits for the job.
    process = pipeline_process(home, *words)
    wait_until(lambda: (folder / "steps" / "submit.json").is_file() or process.poll() is not None, 240, "submitted")
    os.killpg(process.pid, signal.SIGKILL)
    said = process.communicate(timeout=60)
    assert (folder / "steps" / "submit.json").is_file(), said
    job_id = part(folder, "submit")["job_id"]
    # The server took the job, and the answer was lost: only that the submission was begun is known.
    (folder / "steps" / "submit.json").unlink()

    # It goes on, and fails half-way: a file that a later step needs has gone.
    description.unlink()
    done = run_pipeline(home, *words)
    assert done.returncode == 3, done.stderr[-3000:]
    assert "error: the step export failed: the model's description (model.json) cannot be read" in done.stderr
    assert "check: was done already" in done.stderr and "gate: done" in done.stderr
    assert jobs_of(system) == [job_id] == [part(folder, "submit")["job_id"]]
    first = part(folder, "wait")

    # The gate is raised: the model goes no further.
    shutil.copy(ROOT / "provisioning" / "models" / "hippocampus.json", description)
    strict = RULE | {"minimum_dice": {"anterior": 1.0, "posterior": 0.0}}
    write_settings(tmp_path, system, gate=strict)
    done = run_pipeline(home, *words, "--json")
    assert done.returncode == 29, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["gate"]["verdict"] == "stop" and told["gate"]["objections"][0].startswith("anterior: mean Dice 0.")
    assert told["export"] is None and told["register"] is None
    assert not (folder / "package").exists() and not (tmp_path / "releases").exists()

    # As it was asked for: to the end, without a training.
    write_settings(tmp_path, system)
    done = run_pipeline(home, *words, "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["register"] == {"name": "hippocampus", "version": "1.0.0", "state": "candidate", "mlflow": None}
    assert told["wait"] == first and jobs_of(system) == [job_id]
    for name in ("check", "submit", "wait", "evaluate"):
        assert f"{name}: was done already" in done.stderr
    assert len(list((tmp_path / "releases" / "packages").iterdir())) == 1

    # Again: nothing is left to do.
    again = run_pipeline(home, *words)
    assert again.returncode == 0 and again.stdout.startswith("hippocampus 1.0.0 is candidate in ")
    assert again.stderr.count("was done already") == 7

    # A trial of a search is a job of its own, and the same values again are the same job.
    words = ("trial", tmp_path / "pipeline.json", "--folder", tmp_path / "trials", "--set")
    told = [run_pipeline(home, *words, "training.optimizer.learning_rate=0.002") for _ in range(2)]
    assert [one.returncode for one in told] == [0, 0], told[0].stderr[-3000:]
    assert told[0].stdout == told[1].stdout and re.fullmatch(r"dice=[01]\.[0-9]{6}\n", told[0].stdout)
    assert len(jobs_of(system)) == 2, "the pipeline's own, and one for the trial"

    # No key is in what the pipeline or Kubeflow has kept.
    kept = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert len(kept) > 7 and not [content for content in kept if b"PRIVATE KEY" in content]
