"""Settings are paths and rules; what is unknown, missing or a secret is refused."""

from pathlib import Path
from typing import Any

import pytest

from fedvoxel.config import load_json_config
from fedvoxel.errors import ConfigError
from fedvoxel.export.job_model import read_description
from fedvoxel.flare.job_args import SiteArgs
from fedvoxel.ops.pipelines.search import SearchSettings, check_values, read_searched_job
from fedvoxel.ops.pipelines.settings import read_settings
from tests.ops.pipelines.settings_sample import write_settings


def test_paths_are_relative_to_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    read = read_settings(write_settings(tmp_path, site_kits=["a", "/b"], kit="/elsewhere/kit"))
    assert (read.job, read.releases) == (tmp_path / "job", tmp_path / "releases")
    assert read.site_kits == (tmp_path / "a", Path("/b")) and read.kit == Path("/elsewhere/kit")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"password": "x"}, "password: Extra inputs are not permitted"),
        ({"gate": {"minimum_dice": {"blob": 0.5}, "lenient": True}}, "gate.lenient: Extra inputs"),
        ({"gate": "LEFT OUT"}, "gate: Field required"),
        ({"job": 7}, "job: "),
        ({"reason": "a\nb"}, "reason: "),
        ({"schema_version": 2}, "schema_version 2"),
        ({"mlflow": {"url": "https://me:secret@mlflow.example"}}, "MLflow's address holds a login"),
        ({"mlflow": {"url": "ftp://mlflow.example"}}, "expected MLflow's address as https://"),
        ({"mlflow": {"url": "https://mlflow.example", "token": "me:secret"}}, "mlflow.token: Extra inputs"),
        ({"mlflow": {"url": "https://me:secret@mlflow.example/\n"}}, "MLflow's address holds a login"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_settings(write_settings(tmp_path, **changes))
    assert message in str(refused.value) and "me:secret" not in str(refused.value)


def test_the_examples_are_in_order_and_their_job_takes_them() -> None:
    folder = Path(__file__).resolve().parents[3] / "provisioning" / "pipelines"
    settings = folder / "hippocampus.json"
    read, job = read_settings(settings), read_searched_job(settings)
    assert isinstance(job.client, SiteArgs)
    assert set(read.gate.minimum_dice) == set(job.client.classes)
    assert read_description(read.describe, job.client).name == "hippocampus"
    check_values(job, load_json_config(SearchSettings, folder / "hippocampus_search.json", "the search"))
