"""`fedvoxel job retrain`: the plan's job, with a new run key, from the model that is released now, and nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from fedvoxel.export.publishing import Publisher
from tests.blob_job import job_documents, write_job
from tests.cli.promotion_sample import RUN, now, person, provenance
from tests.cli.test_export import kit_of
from tests.export.package_sample import sample_package, sample_signer, sample_trust

NAME = "hippocampus"


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan's folder, with an index that has nothing."""
    folder = tmp_path / "plan"
    write_job(folder / "job", job_documents())
    kit_of(folder, person("scientist@consortium.example", "consortium"))
    values = {"schema_version": 1, "model": NAME, "job": "job", "kit": "scientist@consortium.example"}
    (folder / "retraining.json").write_text(json.dumps(values | {"releases": "../releases"}))
    return folder


def publish(tmp_path: Path, version: str, state: Any = "released", **changes: Any) -> None:
    said = json.loads(provenance(None))
    said["origin"] |= changes
    made = sample_package(tmp_path / version, version=version, members={"provenance.json": json.dumps(said).encode()})
    lead = Publisher(tmp_path / "releases", sample_signer(), sample_trust(), tmp_path / "lead.json")
    lead.publish(made.path, state, "good", now())


def arguments(job: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    server = json.loads((job / "app/config/config_fed_server.json").read_text())
    client = json.loads((job / "app/config/config_fed_client.json").read_text())
    return server["workflows"][0]["args"], client["executors"][0]["executor"]["args"]


def test_the_next_run_begins_with_what_is_released(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path, "1.0.0")
    publish(tmp_path, "1.1.0", run_key="second")
    publish(tmp_path, "1.2.0", "candidate", run_key="third")
    assert main(["job", "retrain", str(plan), "--out", str(tmp_path / "next"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["job_id"], said["start_from"], said["from_version"]) == (None, "second", "1.1.0")
    (old_server, old_client), (server, client) = arguments(plan / "job"), arguments(tmp_path / "next")
    assert server["start_from"] == "second" and server["run_key"] == client["run_key"] == said["run_key"]
    stem, _, when = said["run_key"].rpartition("_")
    assert stem == old_server["run_key"] and re.fullmatch(r"\d{8}T\d{4}Z", when)
    for values in (server, client, old_server, old_client):
        values.pop("run_key", None)
        values.pop("start_from", None)
    assert (server, client) == (old_server, old_client), "nothing else changes"
    assert main(["job", "check", str(tmp_path / "next")]) == 0


def test_a_withdrawn_release_is_not_gone_on_from(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path, "1.0.0")
    publish(tmp_path, "1.1.0", run_key="second")
    lead = Publisher(tmp_path / "releases", sample_signer(), sample_trust(), tmp_path / "lead.json")
    lead.set_state(NAME, "1.1.0", "withdrawn", "bad", now())
    assert main(["job", "retrain", str(plan), "--out", str(tmp_path / "next"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["start_from"] == RUN
    lead.set_state(NAME, "1.0.0", "withdrawn", "bad", now())
    assert main(["job", "retrain", str(plan), "--out", str(tmp_path / "another")]) == 17
    assert "no release of hippocampus" in capsys.readouterr().err and not (tmp_path / "another").exists()


def test_a_model_that_is_not_the_last_of_its_run_cannot_be_begun_with(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path, "1.0.0", round=1)
    assert main(["job", "retrain", str(plan), "--out", str(tmp_path / "next")]) == 3
    assert "not the last model of run retrained" in capsys.readouterr().err and not (tmp_path / "next").exists()


def test_a_plan_says_all_and_nothing_else(plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(tmp_path, "1.0.0")
    file = plan / "retraining.json"
    values = json.loads(file.read_text())
    for wrong in ({key: value for key, value in values.items() if key != "job"}, values | {"rounds": 3}):
        file.write_text(json.dumps(wrong))
        assert main(["job", "retrain", str(plan), "--out", str(tmp_path / "next")]) == 3
        assert "the retraining plan" in capsys.readouterr().err
    file.unlink()
    assert main(["job", "retrain", str(plan)]) == 3
    assert "retraining plan is missing" in capsys.readouterr().err


def test_without_a_servers_address_nothing_is_submitted(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sample's kit says none: what fails is the login, after the job was made."""
    publish(tmp_path, "1.0.0")
    assert main(["job", "retrain", str(plan)]) == 8
    assert "kit" in capsys.readouterr().err
