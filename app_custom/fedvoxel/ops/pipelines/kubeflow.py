"""The pipeline in the words of Kubeflow Pipelines: run on this machine, or compiled for a cluster.

Kubeflow decides in which order steps run and where; what a step does, and whether it was done, FedVoxel says. So its
cache stays off: that would take the submission of a job for a calculation. It is given two paths and no secret.
"""

import re
import tempfile
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel.errors import ConfigError, StepError
from fedvoxel.ops.pipelines.model_steps import PASS
from fedvoxel.ops.pipelines.record import PipelineRecord

NAME = "fedvoxel"
_HERE = "python"
"""Names no image: steps on this machine run in this Python."""
MOUNT, KIT_MOUNT = "/pipeline", "/kit"
"""Where a pod sees the two claims."""
_NO_KIT = ("evaluate", "gate")
_DIGEST = r"@sha256:[0-9a-f]{64}"
_IMAGE = re.compile(rf"[a-z0-9][a-z0-9._\-/]*(:[0-9]+/[a-z0-9._\-/]+)?(:\w[\w.\-]*({_DIGEST})?|{_DIGEST})", re.ASCII)
_CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class Cluster:
    """Is what a cluster is told.

    Attributes:
        image: The container image, of `--target pipelines`, with a tag or digest that does not move.
        claim: The volume claim that holds settings, job, index of releases and the pipeline's folder.
        kit_claim: The volume claim that holds the person's kit; only the steps that need it have it mounted.

    Raises:
        ConfigError: One of them is nothing that a cluster takes, or the image's tag moves.
    """

    image: str
    claim: str
    kit_claim: str

    def __post_init__(self) -> None:
        """Refuses what is not in order."""
        if not _IMAGE.fullmatch(self.image) or self.image.endswith(":latest"):
            raise ConfigError(
                "expected --image as REGISTRY/NAME:TAG or NAME@sha256:DIGEST, with a tag of one release and not latest"
            )
        for option, name in (("--claim", self.claim), ("--kit-claim", self.kit_claim)):
            if not _CLAIM.fullmatch(name):
                raise ConfigError(f"expected {option} as the name of a volume claim, got another text")


def run_step(step: str, settings: str, folder: str) -> str:
    """Runs one step in a process of its own and returns what it said; Kubeflow takes this text along as it is."""
    import subprocess
    import sys

    command = [sys.executable, "-P", "-m", "fedvoxel.cli.main", "pipeline", "step", step, settings, "--folder", folder]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout.strip()


def check_installed() -> None:
    """Checks that Kubeflow Pipelines is there.

    Raises:
        ConfigError: It is not; the message names the extra.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import kfp  # noqa: F401
            from kfp import kubernetes  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"expected the packages kfp and kfp-kubernetes, which are not installed or not whole ({error.name}); in an "
            "environment of their own: pip install -c constraints-pipelines.txt '.[site,report,export,pipelines]'"
        ) from None


def run_here(settings: Path, folder: Path) -> None:
    """Runs the pipeline on this machine, one process for each step; what steps say goes to standard error.

    Raises:
        ConfigError: Kubeflow Pipelines is not installed, or another process runs this pipeline.
        StepError: A step failed, with its own words and exit code.
    """
    check_installed()
    import sys

    from kfp import local

    record = PipelineRecord(folder)
    with record.held(), redirect_stdout(sys.stderr):
        record.forget_failure()
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(record.fresh("kfp")))
        try:
            _pipeline(_HERE)(settings=str(settings.absolute()), folder=str(record.folder))
        except RuntimeError as error:
            raise _failed(record, error) from None


def compiled(cluster: Cluster, settings: str, folder: str) -> str:
    """Returns the pipeline as YAML for a cluster.

    Args:
        cluster: Image and volumes.
        settings: The settings file, as a pod sees it.
        folder: The pipeline's folder, as a pod sees it.

    Raises:
        ConfigError: Kubeflow Pipelines is not installed.
    """
    check_installed()
    from kfp import compiler

    with tempfile.TemporaryDirectory(prefix="fedvoxel-pipeline-") as scratch:
        path = Path(scratch) / "pipeline.yaml"
        given = {"settings": settings, "folder": folder}
        compiler.Compiler().compile(_pipeline(cluster.image, cluster), str(path), pipeline_parameters=given)
        return path.read_text(encoding="utf-8")


def _failed(record: PipelineRecord, error: RuntimeError) -> StepError:
    failure = record.failure()
    if failure is None:
        return StepError(f"a step ended without a word of ours; see above ({type(error).__name__})", 1)
    return StepError(f"the step {failure.step} failed: {failure.message}", failure.exit_code)


def _pipeline(image: str, cluster: Cluster | None = None) -> Any:
    from kfp import dsl

    component = dsl.component(run_step, base_image=image, install_kfp_package=False)

    def fedvoxel(settings: str, folder: str) -> None:
        def step(name: str, after: Any = None) -> Any:
            task = component(step=name, settings=settings, folder=folder)
            task.set_caching_options(False)
            if cluster is not None:
                task.set_display_name(name)
                _mount(task, cluster, with_kit=name not in _NO_KIT)
            return task if after is None else task.after(after)

        wait = step("wait", step("submit", step("check")))
        gate = step("gate", step("evaluate", wait))
        with dsl.If(gate.output == PASS, name="promote"):
            step("register", step("export"))

    said = "Check the cohorts, submit a job, wait, evaluate, gate, export, register."
    return dsl.pipeline(fedvoxel, name=NAME, description=said)


def _mount(task: Any, cluster: Cluster, with_kit: bool) -> None:
    from kfp import kubernetes

    kubernetes.mount_pvc(task, pvc_name=cluster.claim, mount_path=MOUNT)
    if with_kit:
        kubernetes.mount_pvc(task, pvc_name=cluster.kit_claim, mount_path=KIT_MOUNT)
