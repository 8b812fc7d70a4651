"""Writes what an installation of FedVoxel is made of, as CycloneDX 1.6 JSON.

Only what FedVoxel needs with the extras that are named, each with its version as installed here, its licence, and what
it needs in turn; development tools are left out. The same installation gives the same bytes.
"""

import argparse
import re
import sys
import uuid
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("site", "dicom", "report", "export", "explain", "clinic")
PRODUCT = "fedvoxel"


def main() -> int:
    """Writes the bill; ends with 1 where something that is needed is not installed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--extras", default=",".join(EXTRAS), help="comma-separated; empty for a server")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    needs: dict[str, set[str]] = {}
    try:
        _walk(PRODUCT, frozenset(filter(None, options.extras.split(","))), needs)
    except PackageNotFoundError as error:
        sys.stderr.write(f"error: {error.name} is needed and not installed here; install the extras first\n")
        return 1
    options.out.write_text(bill_of(needs) + "\n", encoding="utf-8")
    sys.stderr.write(f"{len(needs) - 1} packages: {options.out}\n")
    return 0


def bill_of(needs: dict[str, set[str]]) -> str:
    """Returns the bill of packages and what each of them needs.

    Raises:
        ValueError: It would not be valid CycloneDX.
    """
    bom = Bom()
    components = {name: _component(distribution(name)) for name in sorted(needs)}
    bom.metadata.component = components[PRODUCT]
    for name, component in components.items():
        if name != PRODUCT:
            bom.components.add(component)
        bom.register_dependency(component, [components[other] for other in sorted(needs[name])])
    # Neither time nor chance, so that two bills of one installation are alike.
    bom.metadata.timestamp = None  # type: ignore[assignment]
    content = "\n".join(f"{one.name} {one.version}" for one in components.values())
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, content)
    written = JsonV1Dot6(bom).output_as_string(indent=2)
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(written)
    if wrong:
        raise ValueError(str(wrong))
    return written


def _walk(name: str, extras: frozenset[str], needs: dict[str, set[str]]) -> None:
    """Adds a package and all that it needs with some of its extras."""
    found = needs.setdefault(canonicalize_name(name), set())
    for said in distribution(name).requires or ():
        requirement = Requirement(said)
        wanted = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        if requirement.marker and not any(requirement.marker.evaluate(dict(one)) for one in wanted):
            continue
        other = canonicalize_name(requirement.name)
        found.add(other)
        if other not in needs or requirement.extras:
            _walk(other, frozenset(requirement.extras), needs)


def _component(package: Distribution) -> Component:
    name, version = canonicalize_name(package.metadata["Name"]), package.version
    licence = package.metadata.get("License-Expression") or _classified(package)
    return Component(
        name=name,
        version=version,
        type=ComponentType.APPLICATION if name == PRODUCT else ComponentType.LIBRARY,
        bom_ref=f"{name}=={version}",
        purl=PackageURL("pypi", name=name, version=version),
        licenses=[DisjunctiveLicense(name=licence)],
    )


def _classified(package: Distribution) -> str:
    """Returns the licence by the package's classifiers, or as far as its one line says."""
    classifiers = package.metadata.get_all("Classifier") or []
    said = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License ::")]
    line = (package.metadata.get("License") or "").strip().partition("\n")[0]
    return re.sub(r"\s+", " ", ", ".join(said) or line)[:200] or "not stated"


if __name__ == "__main__":
    sys.exit(main())
