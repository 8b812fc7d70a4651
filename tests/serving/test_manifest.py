"""The InferenceService asks for little, and KServe's own types take every word of it."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedvoxel.export.package import Package
from fedvoxel.serving.manifest import Deployment, TrustFiles, inference_service, manifest_of, trust_files_of
from tests.export.package_sample import sample_package, sample_trust

TRUST = TrustFiles("-----BEGIN CERTIFICATE-----\nroot\n", "-----BEGIN X509 CRL-----\nlist\n")
FULL = Deployment("registry.example/serve@sha256:0f", "pvc://models/hippocampus", "imaging", 2048, 2, "releases")


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return sample_package(tmp_path)


def container_of(service: dict[str, Any]) -> dict[str, Any]:
    (container,) = service["spec"]["predictor"]["containers"]
    return dict(container)


def test_the_pod_has_no_rights_that_it_does_not_need(package: Package) -> None:
    service = inference_service("hippocampus", package, TRUST, FULL)
    predictor, container = service["spec"]["predictor"], container_of(service)
    assert predictor["automountServiceAccountToken"] is False
    assert predictor["securityContext"]["runAsNonRoot"] is True and predictor["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "2560Mi"}
    writable = [mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    volumes = {volume["name"]: volume for volume in predictor["volumes"]}
    assert writable == ["tmp"] and "emptyDir" in volumes["tmp"]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)


def test_the_pod_verifies_the_package_against_the_manifests_own_root(package: Package) -> None:
    trust, service = yaml.safe_load_all(manifest_of(package, TRUST, FULL))
    assert trust["data"] == {"rootCA.pem": TRUST.root, "crl.pem": TRUST.crl}
    assert trust["metadata"] == {"name": "hippocampus-trust", "namespace": "imaging"}
    arguments = container_of(service)["args"]
    assert arguments[:2] == ["serve", "/mnt/models/hippocampus-1.0.0.fvpkg"]
    said = dict(zip(arguments[2::2], arguments[3::2], strict=True))
    assert said["--root"] == "/etc/fedvoxel/rootCA.pem" and said["--crl"] == "/etc/fedvoxel/crl.pem"
    assert said["--releases"] == "/releases" and said["--memory-mb"] == "2048" and said["--threads"] == "2"
    assert service["metadata"]["annotations"]["fedvoxel/package-sha256"] == package.sha256
    assert {"name": "STORAGE_URI", "value": FULL.storage} in container_of(service)["env"]
    volumes = {one["name"]: one for one in service["spec"]["predictor"]["volumes"]}
    assert volumes["trust"] == {"name": "trust", "configMap": {"name": "hippocampus-trust"}}


def test_without_a_list_and_an_index_none_is_asked(package: Package) -> None:
    trust, service = yaml.safe_load_all(
        manifest_of(package, trust_files_of(sample_trust()), Deployment("a/b:1", "gs://b/f"))
    )
    assert list(trust["data"]) == ["rootCA.pem"] and trust["data"]["rootCA.pem"].startswith("-----BEGIN CERTIFICATE")
    assert not {"--crl", "--releases"} & set(container_of(service)["args"]) and "namespace" not in trust["metadata"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("spinal_cord", "spinal-cord"), ("3d_liver_", "model-3d-liver"), ("a" * 60, "a" * 50)],
)
def test_a_models_name_becomes_one_that_a_cluster_takes(tmp_path: Path, name: str, expected: str) -> None:
    _, service = yaml.safe_load_all(manifest_of(sample_package(tmp_path, name=name), TRUST, FULL))
    assert service["metadata"]["name"] == expected


needs_kserve = pytest.mark.skipif(
    importlib.util.find_spec("kserve") is None,
    reason="needs the extra `serve`, which wants an environment of its own: docs/serving.md",
)


NATIVE = {"str": str, "int": int, "bool": bool}


def typed(value: Any, kind: str) -> Any:
    """What KServe's and Kubernetes' own types make of a value; a word or a kind that they do not have is an error."""
    import kserve
    from kubernetes import client

    if kind in NATIVE:
        if type(value) is not NATIVE[kind]:
            raise TypeError(f"expected {kind}, got {value!r}")
        return value
    if kind == "object":
        return value
    if found := re.fullmatch(r"[lL]ist\[(.*)\]", kind):
        return [typed(one, found[1]) for one in value]
    if found := re.fullmatch(r"[dD]ict[(\[]str, (.*)[)\]]", kind):
        return {name: typed(one, found[1]) for name, one in value.items()}
    model = getattr(kserve, kind, None) or getattr(client, kind)
    names = {json_name: name for name, json_name in model.attribute_map.items()}
    if unknown := set(value) - set(names):
        raise ValueError(f"{kind} has no {sorted(unknown)}")
    return model(**{names[name]: typed(one, model.openapi_types[names[name]]) for name, one in value.items()})


def through_kserves_types(service: dict[str, Any]) -> Any:
    """What is left of an object once those types have read and written it."""
    from fedvoxel.serving.starting import load_kserve

    load_kserve()
    return plain(typed(service, "V1beta1InferenceService"))


def plain(value: Any) -> Any:
    """What a typed object says, in the words of a manifest."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if not hasattr(value, "attribute_map"):
        return value
    said = {word: getattr(value, name) for name, word in value.attribute_map.items()}
    return {word: plain(one) for word, one in said.items() if one is not None}


@needs_kserve
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_kserves_own_types_take_every_word(package: Package) -> None:
    for deployment in (FULL, Deployment("a/b:1", "s3://bucket/folder")):
        service = inference_service("hippocampus", package, TRUST, deployment)
        assert through_kserves_types(service) == service


@needs_kserve
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("spec", "predictor", "automountToken"), False),
        (("spec", "predictor", "minReplicas"), "one"),
        (("spec", "predictor", "securityContext", "runAsNonroot"), True),
        (("spec", "predictor", "containers"), [{"image": "a"}]),
        (("spec", "predictor", "volumes"), [{"name": "a", "emptyDirs": {}}]),
    ],
)
def test_a_wrong_word_or_kind_is_noticed(package: Package, place: tuple[str, ...], value: Any) -> None:
    service = inference_service("hippocampus", package, TRUST, FULL)
    at = service
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    with pytest.raises((ValueError, TypeError)):
        through_kserves_types(service)
