"""The real Kubeflow Pipelines: what is compiled loads again, and a failing step ends a run here with its own code."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedvoxel.errors import ConfigError
from fedvoxel.ops.pipelines.kubeflow import Cluster
from tests.kfp_environment import kfp_python, run_pipeline
from tests.ops.pipelines.settings_sample import write_settings

IMAGE = "registry.example/fedvoxel-pipelines:0.2.0"
COMPILE = ("compile", "--image", IMAGE, "--claim", "pipelines", "--kit-claim", "scientist-kit")
LOAD = """
import json, sys
from google.protobuf import json_format
from kfp import components
loaded = components.load_component_from_file(sys.argv[1])
print(json.dumps(json_format.MessageToDict(loaded.pipeline_spec)))
"""


@pytest.mark.parametrize(
    ("image", "claim", "message"),
    [
        ("registry.example/fedvoxel", "pipelines", "--image"),
        ("registry.example:5000/fedvoxel", "pipelines", "--image"),
        ("registry.example/fedvoxel:latest", "pipelines", "--image"),
        ("registry.example/fedvoxel:1 --privileged", "pipelines", "--image"),
        ("fedvoxel@sha256:0f", "pipelines", "--image"),
        (IMAGE, "Pipe Lines", "--claim"),
        (IMAGE, "", "--claim"),
    ],
)
def test_an_image_whose_tag_moves_and_what_no_cluster_takes_are_refused(image: str, claim: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Cluster(image, claim, "kit")


@pytest.mark.parametrize(
    "image",
    [IMAGE, "registry.example:5000/a/b:1.0-rc1", f"registry.example/a@sha256:{'0f' * 32}", f"a:1@sha256:{'0f' * 32}"],
)
def test_an_image_that_stands_still_is_taken(image: str) -> None:
    assert Cluster(image, "pipelines", "kit").image == image


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    done = run_pipeline(folder, *COMPILE, "--out", folder / "pipeline.yaml")
    assert done.returncode == 0 and "Next: " in done.stdout, done.stderr
    return folder / "pipeline.yaml"


@pytest.mark.slow
def test_the_compiled_pipeline_loads_and_names_the_image_and_no_secret(compiled: Path) -> None:
    command = [str(kfp_python()), "-W", "ignore", "-c", LOAD, str(compiled)]
    loaded = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    spec = json.loads(loaded.stdout)
    containers = [one["container"] for one in spec["deploymentSpec"]["executors"].values()]
    assert {one["image"] for one in containers} == {IMAGE} and len(containers) == 7
    assert "pip install" not in json.dumps(containers), "a pod installs nothing"
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    assert {name: one["defaultValue"] for name, one in inputs.items()} == {
        "settings": "/pipeline/pipeline.json",
        "folder": "/pipeline/run",
    }
    (promote,) = [task for task in spec["root"]["dag"]["tasks"].values() if task["taskInfo"]["name"] == "promote"]
    assert promote["triggerPolicy"]["condition"].endswith("== 'pass'")
    inner = spec["components"][promote["componentRef"]["name"]]["dag"]["tasks"].values()
    assert {task["taskInfo"]["name"] for task in inner} == {"export", "register"}
    tasks = [*inner, *(task for task in spec["root"]["dag"]["tasks"].values() if task is not promote)]
    assert all(not task["cachingOptions"].get("enableCache") for task in tasks) and len(tasks) == 7


@pytest.mark.slow
def test_only_steps_that_need_the_kit_have_it_mounted(compiled: Path) -> None:
    spec, platform = yaml.safe_load_all(compiled.read_text())
    tasks = spec["root"]["dag"]["tasks"] | spec["components"]["comp-condition-1"]["dag"]["tasks"]
    names = {
        spec["components"][task["componentRef"]["name"]].get("executorLabel"): task["taskInfo"]["name"]
        for task in tasks.values()
    }
    mounts: dict[str, Any] = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    places = {names[label]: {one["mountPath"] for one in said["pvcMount"]} for label, said in mounts.items()}
    without = {name for name, seen in places.items() if seen == {"/pipeline"}}
    assert without == {"evaluate", "gate"} and len(places) == 7
    assert all(seen == {"/pipeline", "/kit"} for name, seen in places.items() if name not in without)


@pytest.mark.slow
def test_a_failing_step_ends_the_run_with_its_code_and_no_traceback(tmp_path: Path) -> None:
    settings = write_settings(tmp_path)
    done = run_pipeline(tmp_path / "home", "run", settings, "--folder", tmp_path / "run", "--json")
    assert done.returncode == 3 and done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("error: the step check failed: the model's description is missing")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "submissions").exists()
