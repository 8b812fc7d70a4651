"""Writes the InferenceService with which KServe runs `fedvoxel serve` on a cluster, as little trusted as it can be.

The package comes from a storage that somebody else may write, so what it is verified against does not: root certificate
and revocation list lie in a ConfigMap of the manifest itself. The pod runs without root, cannot write but into its
scratch folders, has no token for the cluster's own API, and takes no more than its limits.
"""

import re
from dataclasses import dataclass
from typing import Any

import yaml
from cryptography.hazmat.primitives.serialization import Encoding

from fedvoxel.errors import ConfigError
from fedvoxel.export.package import Package
from fedvoxel.export.trust import Trust

HTTP_PORT, GRPC_PORT = 8080, 8081
_USER = 10001
"""As provisioning/containers/Containerfile has it."""
_HEADROOM_MB = 512
"""Of the limit above the bound: what the kernel counts for the pod beside its resident memory."""
_TRUST, _RELEASES, _MODELS = "/etc/fedvoxel", "/releases", "/mnt/models"

_SCRATCH = ("tmp", "/tmp")  # noqa: S108  # a volume of the pod's own, mounted there
_LONGEST_NAME = 50
"""KServe adds to it, and 63 characters are the most that a cluster takes."""
_CONTAINER = "kserve-container"
_STORAGE = re.compile(r"(pvc|s3|gs|hf|https|hdfs|webhdfs|oci)://[^\s]+")
_IMAGE = re.compile(r"[a-z0-9][\w.\-/:@]{0,300}")
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Deployment:
    """Is what a cluster is told beside the package.

    Attributes:
        image: The container image, of `--target serve`.
        storage: Where KServe fetches the package from: a folder that holds its file, or the file.
        namespace: Where it runs; the one of `kubectl` where None.
        memory_mb: The bound of memory of the program, in MiB.
        cores: Most cores.
        releases_claim: The volume claim that holds the index of releases; None asks no index.

    Raises:
        ConfigError: One of them is nothing that a cluster takes.
    """

    image: str
    storage: str
    namespace: str | None = None
    memory_mb: int = 4096
    cores: int = 4
    releases_claim: str | None = None

    def __post_init__(self) -> None:
        """Refuses what is not in order."""
        if not _IMAGE.fullmatch(self.image):
            raise ConfigError("expected --image as REGISTRY/NAME:TAG or with a digest, got another text")
        if not _STORAGE.fullmatch(self.storage):
            raise ConfigError("expected --storage as an address that KServe fetches from, such as pvc://NAME/FOLDER")
        for option, name in (("--namespace", self.namespace), ("--releases-claim", self.releases_claim)):
            if name is not None and not _NAME.fullmatch(name):
                raise ConfigError(f"expected {option} as small letters, digits and hyphens, got another text")


@dataclass(frozen=True)
class TrustFiles:
    """Is what the pod verifies the package against.

    Attributes:
        root: The root certificate, PEM.
        crl: The root's revocation list, PEM; None asks none.
    """

    root: str
    crl: str | None = None


def trust_files_of(trust: Trust) -> TrustFiles:
    """Returns the files that hold whose signatures count here."""
    lists = [] if trust.crl is None else [trust.crl, *trust.newer]
    crl = "".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in lists)
    return TrustFiles(trust.root.public_bytes(Encoding.PEM).decode("ascii"), crl or None)


class _Readable(yaml.SafeDumper):
    """Writes a text of several lines as several lines: who applies a manifest can compare the root certificate."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Returns a text's node."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Readable.add_representer(str, _Readable.represent_str)


def manifest_of(package: Package, trust: TrustFiles, deployment: Deployment) -> str:
    """Returns the manifest, two YAML documents: what the package is verified against, and the InferenceService."""
    name = package.description.name.replace("_", "-").strip("-")
    name = (name if name[0].isalpha() else f"model-{name}")[:_LONGEST_NAME].strip("-")
    documents = [
        _config_map(f"{name}-trust", trust, deployment),
        inference_service(name, package, trust, deployment),
    ]
    return yaml.dump_all(documents, Dumper=_Readable, sort_keys=False)


def inference_service(name: str, package: Package, trust: TrustFiles, deployment: Deployment) -> dict[str, Any]:
    """Returns the InferenceService (serving.kserve.io/v1beta1)."""
    labels = {"app.kubernetes.io/managed-by": "fedvoxel", "app.kubernetes.io/version": package.description.version}
    annotations = {
        # Without Knative, which takes one port only.
        "serving.kserve.io/deploymentMode": "RawDeployment",
        "fedvoxel/package-sha256": package.sha256,
    }
    predictor = {
        "minReplicas": 1,
        "maxReplicas": 1,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(package, trust, deployment)],
        "volumes": _volumes(name, deployment),
    }
    metadata = _metadata(name, deployment) | {"labels": labels, "annotations": annotations}
    spec = {"predictor": predictor}
    return {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": metadata, "spec": spec}


def _container(package: Package, trust: TrustFiles, deployment: Deployment) -> dict[str, Any]:
    cpu, memory = str(deployment.cores), f"{deployment.memory_mb + _HEADROOM_MB}Mi"
    mounts = [{"name": "trust", "mountPath": _TRUST, "readOnly": True}, _scratch_mount()]
    if deployment.releases_claim is not None:
        mounts.append({"name": "releases", "mountPath": _RELEASES, "readOnly": True})
    return {
        "name": _CONTAINER,
        "image": deployment.image,
        "command": ["fedvoxel"],
        "args": _arguments(package, trust, deployment),
        "env": [{"name": "STORAGE_URI", "value": deployment.storage}, {"name": "HOME", "value": _SCRATCH[1]}],
        "ports": [
            {"containerPort": HTTP_PORT, "name": "http1", "protocol": "TCP"},
            {"containerPort": GRPC_PORT, "name": "h2c", "protocol": "TCP"},
        ],
        "readinessProbe": _probe("/v2/health/ready", failures=3),
        "livenessProbe": _probe("/v2/health/live", failures=6),
        "startupProbe": _probe("/v2/health/live", failures=60),
        # Requests are the limits: the bound of memory is counted on, and a pod that is promised less may be killed.
        "resources": {"requests": {"cpu": "1", "memory": memory}, "limits": {"cpu": cpu, "memory": memory}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _arguments(package: Package, trust: TrustFiles, deployment: Deployment) -> list[str]:
    said = ["serve", f"{_MODELS}/{package.path.name}", "--root", f"{_TRUST}/rootCA.pem"]
    if trust.crl is not None:
        said += ["--crl", f"{_TRUST}/crl.pem"]
    if deployment.releases_claim is not None:
        said += ["--releases", _RELEASES]
    # In a pod the address is the pod's own, and the cluster's policy says who reaches it.
    said += ["--bind", "0.0.0.0", "--http-port", str(HTTP_PORT), "--grpc-port", str(GRPC_PORT)]  # noqa: S104
    return [*said, "--memory-mb", str(deployment.memory_mb), "--threads", str(deployment.cores)]


def _volumes(name: str, deployment: Deployment) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "trust", "configMap": {"name": f"{name}-trust"}},
        {"name": _SCRATCH[0], "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    if deployment.releases_claim is not None:
        claim = {"claimName": deployment.releases_claim, "readOnly": True}
        volumes.append({"name": "releases", "persistentVolumeClaim": claim})
    return volumes


def _config_map(name: str, trust: TrustFiles, deployment: Deployment) -> dict[str, Any]:
    data = {"rootCA.pem": trust.root} | ({} if trust.crl is None else {"crl.pem": trust.crl})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(name, deployment), "data": data}


def _metadata(name: str, deployment: Deployment) -> dict[str, Any]:
    return {"name": name} | ({} if deployment.namespace is None else {"namespace": deployment.namespace})


def _scratch_mount() -> dict[str, Any]:
    return {"name": _SCRATCH[0], "mountPath": _SCRATCH[1]}


def _probe(path: str, failures: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": HTTP_PORT}, "periodSeconds": 5, "failureThreshold": failures}
