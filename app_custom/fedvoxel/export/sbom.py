"""The package's software bill of materials, CycloneDX 1.6 JSON: its model, and the software that made it.

Nothing of that software is in the package; a clinician's machine needs ONNX Runtime only. Written by hand, since a
library for so short a list would bring six packages; a test has it validated by one.
"""

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from fedvoxel.export.description import ModelDescription
from fedvoxel.export.provenance import TOOLS, Provenance
from fedvoxel.export.signature import Moment
from fedvoxel.export.written import text_of_json

SBOM = "sbom.cdx.json"

Component = dict[str, Any]


def sbom_of(
    description: ModelDescription, provenance: Provenance, members: Mapping[str, bytes], created: Moment
) -> bytes:
    """Returns the bill of materials.

    Args:
        description: The model's.
        provenance: Where it comes from.
        members: The package's other members.
        created: When the package is made.
    """
    installed = {_purl(one.name, one.version): _component(one.name, one.version, "export") for one in _installed()}
    trained = {
        _purl(name, version): _component(name, version, "training server")
        for name, version in provenance.run_versions.items()
    }
    model = f"{description.name}@{description.version}"
    listed = sorted((trained | installed).values(), key=lambda one: str(one["bom-ref"]))
    parts = [_file(name, content) for name, content in sorted(members.items())]
    return text_of_json(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{uuid.uuid4()}",
            "version": 1,
            "metadata": {
                "timestamp": created,
                "component": {
                    "type": "machine-learning-model",
                    "bom-ref": model,
                    "name": description.name,
                    "version": description.version,
                    "description": description.title,
                },
            },
            "components": [*parts, *listed],
            "dependencies": [{"ref": model, "dependsOn": [part["bom-ref"] for part in parts]}],
        }
    )


def _file(name: str, content: bytes) -> Component:
    digest = hashlib.sha256(content).hexdigest()
    return {"type": "file", "bom-ref": name, "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}


def _component(name: str, version: str, part: str) -> Component:
    purl = _purl(name, version)
    properties = [{"name": "fedvoxel:part", "value": part}]
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "properties": properties,
    }


def _purl(name: str, version: str) -> str:
    """Returns a package URL. Source: the purl specification, type pypi."""
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version.replace('+', '%2B')}"


def _installed() -> Iterator[Distribution]:
    """Yields what is installed here of the software that exports, and of all that it needs."""
    waiting, seen = list(TOOLS), set[str]()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        yield found
        waiting += _needed(found)


def _needed(found: Distribution) -> Iterator[str]:
    for line in found.requires or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name
