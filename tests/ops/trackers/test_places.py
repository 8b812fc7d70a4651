"""Where a secret may go, what is switched off, and which package is asked for."""

import importlib.util
import os
from pathlib import Path

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.ops.trackers import places
from fedvoxel.ops.trackers.places import PATIENCE, SWITCHES, Place, checked_url, set_switches
from tests.ops.trackers.fake_tracker import SECRET


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("url", [f"https://user:{SECRET}@mlflow.example", f"https://{SECRET}@mlflow.example"])
def test_a_login_in_an_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match="holds a login; take it out") as caught:
        checked_url(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["mlflow.example", "file:///tmp/mlruns", "sqlite:///mlflow.db", "https://", "ftp://a"])
def test_no_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected MLflow's address"):
        checked_url(url)


@pytest.mark.parametrize("url", [None, ""])
def test_no_address_at_all_is_refused(url: str | None) -> None:
    with pytest.raises(ConfigError, match="--url"):
        checked_url(url)


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD"])
def test_a_login_goes_through_tls_or_to_this_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked_url("http://mlflow.example") == "http://mlflow.example", "nothing secret would go there"
    monkeypatch.setenv(name, SECRET)
    for url in ("http://mlflow.example", "http://10.0.0.3:5000"):
        with pytest.raises(ConfigError, match="in the clear; use https") as caught:
            checked_url(url)
        assert SECRET not in str(caught.value)
    for url in ("https://mlflow.example", "http://127.0.0.1:5000", "http://[::1]:5000", "http://localhost:5000"):
        assert checked_url(url) == url


def test_the_clients_tell_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SWITCHES, *PATIENCE):
        monkeypatch.setenv(name, "theirs")
    set_switches()
    assert {name: os.environ[name] for name in SWITCHES} == SWITCHES
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true" and os.environ["WANDB_MODE"] == "offline"
    assert {os.environ[name] for name in PATIENCE} == {"theirs"}, "how long to wait is the user's to say"


@pytest.mark.parametrize(("to", "extra"), [("mlflow", "tracking"), ("wandb", "wandb"), ("clearml", "clearml")])
def test_a_missing_package_names_its_extra(
    to: places.TrackerName, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(places, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"needs {to}, .* '\.\[{extra}\]'"):
        Place(to, tmp_path, "https://mlflow.example", "p").tracker()


def test_every_tracker_is_made_without_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(places, "find_spec", lambda name: importlib.util.find_spec("json"))
    made = [
        Place(to, tmp_path, "https://mlflow.example", "p").tracker().name
        for to in ("mlflow", "wandb", "clearml", "tensorboard", "csv")
    ]
    assert made == ["MLflow", "Weights & Biases", "ClearML", "TensorBoard", "CSV"]
    assert list(tmp_path.iterdir()) == []


def test_places_differ_in_what_matters(tmp_path: Path) -> None:
    def words(to: places.TrackerName, folder: str, url: str | None, project: str) -> str:
        return Place(to, tmp_path / folder, url, project).words

    assert words("csv", "a", "u", "p") == words("csv", "a", None, "q") != words("csv", "b", None, "q")
    assert words("mlflow", "a", "u", "p") == words("mlflow", "b", "u", "p") != words("mlflow", "b", "u", "q")
    assert words("wandb", "a", "u", "p") != words("wandb", "a", "u", "q")
