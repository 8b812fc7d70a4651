"""Writes the Experiment with which Katib searches a job's parameters on a cluster, one trial after another.

Katib starts a trial's program through a shell, with the values put into its text: so nothing goes into it that is not
made of plain letters, digits and a few signs.
"""

import re
from typing import Any

import yaml

from fedvoxel.errors import ConfigError
from fedvoxel.ops.pipelines.kubeflow import KIT_MOUNT, MOUNT, Cluster
from fedvoxel.ops.pipelines.search import METRIC, Between, OneOf, SearchSettings

_USER = 10001
"""As provisioning/containers/Containerfile has it."""
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+", re.ASCII)
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_TRIAL = "trial"


def experiment(name: str, search: SearchSettings, cluster: Cluster, settings: str, folder: str) -> str:
    """Returns the manifest as YAML.

    Args:
        name: The experiment's.
        search: What is searched.
        cluster: Image and volumes.
        settings: The pipeline's settings, as a pod sees them.
        folder: Where trials keep what they did, as a pod sees it.

    Raises:
        ConfigError: A name or path is nothing that can be given, or Katib's types are not installed or do not take it.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError("expected --name as small letters, digits and hyphens, 40 at most, got another text")
    for option, path in (("--settings", settings), ("--folder", folder)):
        if not _PLAIN.fullmatch(path):
            raise ConfigError(f"expected {option} of plain letters, digits and ./_- only: Katib gives it to a shell")
    if len({_name(key) for key in search.parameters}) < len(search.parameters):
        raise ConfigError("two of the searched keys differ in . and _ only, and Katib takes neither in a name")
    values = {
        "apiVersion": "kubeflow.org/v1beta1",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": _spec(search, _trial(search, cluster, settings, folder)),
    }
    _check_types(values)
    return yaml.safe_dump(values, sort_keys=False)


def _spec(search: SearchSettings, trial: dict[str, Any]) -> dict[str, Any]:
    objective = {"type": "maximize", "objectiveMetricName": METRIC}
    return {
        "objective": objective if search.goal is None else {**objective, "goal": search.goal},
        "algorithm": {"algorithmName": search.algorithm},
        "parallelTrialCount": 1,
        "maxTrialCount": search.most_trials,
        "maxFailedTrialCount": search.most_failed,
        "metricsCollectorSpec": {"collector": {"kind": "StdOut"}},
        "parameters": [_parameter(key, space) for key, space in search.parameters.items()],
        "trialTemplate": {
            "primaryContainerName": _TRIAL,
            "retain": True,
            "trialParameters": [
                {"name": _name(key), "reference": _name(key), "description": key} for key in search.parameters
            ],
            "trialSpec": trial,
        },
    }


def _parameter(key: str, space: Between | OneOf) -> dict[str, Any]:
    if isinstance(space, OneOf):
        listed = {"list": [str(value) for value in space.values]}
        return {"name": _name(key), "parameterType": "categorical", "feasibleSpace": listed}
    between = {"min": str(space.minimum), "max": str(space.maximum)}
    return {"name": _name(key), "parameterType": "int" if space.is_whole else "double", "feasibleSpace": between}


def _trial(search: SearchSettings, cluster: Cluster, settings: str, folder: str) -> dict[str, Any]:
    command = ["fedvoxel", "pipeline", "trial", settings, "--folder", folder]
    for key in search.parameters:
        command += ["--set", f"{key}=${{trialParameters.{_name(key)}}}"]
    volumes = {"pipeline": (cluster.claim, MOUNT), "kit": (cluster.kit_claim, KIT_MOUNT)}
    container = {
        "name": _TRIAL,
        "image": cluster.image,
        "command": command,
        "volumeMounts": [{"name": volume, "mountPath": path} for volume, (_, path) in volumes.items()],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": _USER},
        "containers": [container],
        "volumes": [
            {"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, (claim, _) in volumes.items()
        ],
    }
    # No second pod: a trial that ended badly would be submitted anew, against what was promised of their number.
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": {"backoffLimit": 0, "template": {"spec": pod}}}


def _name(key: str) -> str:
    return key.replace(".", "-").replace("_", "-")


def _check_types(values: dict[str, Any]) -> None:
    """Has Katib's own types read the manifest: they drop a word that they do not know, and refuse a wrong kind."""
    try:
        from kubeflow_katib_api import models
    except ImportError as error:
        raise ConfigError(
            f"expected the package kubeflow-katib-api, which is not installed or not whole ({error.name}); in an "
            "environment of its own: pip install -c constraints-pipelines.txt '.[site,report,export,pipelines]'"
        ) from None
    try:
        taken = models.V1beta1Experiment.from_dict(values).to_dict()
    except ValueError as error:
        raise ConfigError(f"Katib does not take the experiment ({type(error).__name__})") from None
    if taken != values:
        raise ConfigError("Katib does not know all words of the experiment")
