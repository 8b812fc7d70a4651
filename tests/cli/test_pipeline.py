"""`fedvoxel pipeline` without Kubeflow: what is refused before anything runs, and one step by itself."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from tests.ops.pipelines.settings_sample import write_settings

Shown = pytest.CaptureFixture[str]


@pytest.fixture
def without_kfp(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "kfp":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)


@pytest.mark.usefixtures("without_kfp")
def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, capsys: Shown) -> None:
    assert main(["pipeline", "run", str(write_settings(tmp_path)), "--folder", str(tmp_path / "run")]) == 3
    said = capsys.readouterr().err
    assert "pip install -c constraints-pipelines.txt" in said and "pipelines]" in said and said.count("\n") == 1
    out = ["--claim", "a", "--kit-claim", "b", "--out", str(tmp_path / "pipeline.yaml")]
    assert main(["pipeline", "compile", "--image", "a/b:1", *out]) == 3
    assert "constraints-pipelines.txt" in capsys.readouterr().err and not (tmp_path / "pipeline.yaml").exists()


def test_an_unknown_key_is_refused_before_anything_runs(tmp_path: Path, capsys: Shown) -> None:
    settings = write_settings(tmp_path, thresholds={})
    for words in (["run", str(settings)], ["step", "submit", str(settings)]):
        assert main(["pipeline", *words, "--folder", str(tmp_path / "run")]) == 3
        assert "thresholds: Extra inputs are not permitted" in capsys.readouterr().err
    assert not (tmp_path / "run" / "steps").exists()


def test_an_image_without_a_tag_is_refused(tmp_path: Path, capsys: Shown) -> None:
    words = ["--claim", "a", "--kit-claim", "b", "--out", str(tmp_path / "pipeline.yaml")]
    assert main(["pipeline", "compile", "--image", "registry.example/fedvoxel:latest", *words]) == 3
    assert "not latest" in capsys.readouterr().err


def test_a_step_out_of_turn_and_one_that_does_not_exist_are_refused(tmp_path: Path, capsys: Shown) -> None:
    words = [str(write_settings(tmp_path)), "--folder", str(tmp_path / "run")]
    assert main(["pipeline", "step", "export", *words]) == 3
    assert "the step gate is not finished under these settings" in capsys.readouterr().err
    assert main(["pipeline", "step", "deploy", *words]) == 2
    assert "'deploy' is not one of" in capsys.readouterr().err


def test_each_command_has_an_example(capsys: Shown) -> None:
    for command in ("run", "step", "compile"):
        assert main(["pipeline", command, "--help"]) == 0
        assert "Example: fedvoxel pipeline" in capsys.readouterr().out
