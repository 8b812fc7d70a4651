"""Holds a bill of materials against a snapshot of known vulnerabilities: python scripts/audit_dependencies.py --help.

The snapshot is the OSV database of PyPI, one zip file with a JSON file for each vulnerability, which has to be brought
here: nothing is asked of the network, and nothing of an installation is told to anybody. Exit codes: 0, nothing known;
1, something is; 2, the bill or the snapshot cannot be read; 3, there was no snapshot, so that nothing was checked.

Source: the OSV schema 1.7, "Evaluation" (affected.versions, and affected.ranges of the type ECOSYSTEM).
"""

import argparse
import hashlib
import json
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

CLEAN, KNOWN, UNREADABLE, NOT_CHECKED = 0, 1, 2, 3
_LARGEST_RECORD_BYTES = 16 * 1024**2
_STALE = timedelta(days=30)


def main(arguments: Sequence[str] | None = None) -> int:
    """Says what is known of the packages of a bill."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bill", type=Path, help="from scripts/bill_of_materials.py")
    parser.add_argument("--database", type=Path, help="the OSV snapshot of PyPI (all.zip)")
    parser.add_argument("--ignore", action="append", default=[], metavar="ID=REASON", help="a finding that is accepted")
    options = parser.parse_args(arguments)
    if options.database is None:
        sys.stderr.write("NOT CHECKED: no snapshot of known vulnerabilities was given (--database); this is no pass\n")
        return NOT_CHECKED
    try:
        packages = packages_of(json.loads(options.bill.read_text(encoding="utf-8")))
        ignored = dict(one.split("=", 1) for one in options.ignore)
        newest, found = datetime.min.replace(tzinfo=UTC), []
        for record in records_of(options.database):
            newest = max(newest, datetime.fromisoformat(record["modified"]))
            found += [(name, version, record) for name, version in hits(record, packages)]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"error: the bill or the snapshot cannot be read ({type(error).__name__}: {error})\n")
        return UNREADABLE
    digest = hashlib.sha256(options.database.read_bytes()).hexdigest()
    sys.stdout.write(f"{len(packages)} packages; snapshot {digest}, newest record of {newest:%Y-%m-%d}\n")
    if datetime.now(UTC) - newest > _STALE:
        sys.stdout.write(f"warning: the snapshot is older than {_STALE.days} days\n")
    for name, version, record in found:
        accepted = ignored.get(record["id"])
        said = f"accepted: {accepted}" if accepted else str(record.get("summary", ""))
        sys.stdout.write(f"{record['id']} {name} {version} {said}\n")
    return KNOWN if any(record["id"] not in ignored for _, _, record in found) else CLEAN


def packages_of(bill: Mapping[str, Any]) -> dict[str, str]:
    """Returns the version of each package of a CycloneDX bill."""
    return {canonicalize_name(one["name"]): str(one["version"]) for one in bill["components"]}


def records_of(database: Path) -> Iterator[dict[str, Any]]:
    """Yields the vulnerabilities of a snapshot that were not withdrawn.

    Raises:
        ValueError: It holds none, or one that is too large.
    """
    with zipfile.ZipFile(database) as archive:
        names = [one for one in archive.infolist() if one.filename.endswith(".json")]
        if not names:
            raise ValueError("no record in it")
        for info in names:
            if info.file_size > _LARGEST_RECORD_BYTES:
                raise ValueError(f"{info.filename} is larger than {_LARGEST_RECORD_BYTES} bytes")
            record = json.loads(archive.read(info))
            if "withdrawn" not in record:
                yield record


def hits(record: Mapping[str, Any], packages: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields the packages with a version that a vulnerability affects."""
    for affected in record.get("affected", ()):
        package = affected.get("package", {})
        name = canonicalize_name(package.get("name", ""))
        if package.get("ecosystem") == "PyPI" and name in packages and _affects(affected, packages[name]):
            yield name, packages[name]


def _affects(affected: Mapping[str, Any], version: str) -> bool:
    if version in affected.get("versions", ()):
        return True
    ranges = [one for one in affected.get("ranges", ()) if one["type"] == "ECOSYSTEM"]
    return any(_in_range(one["events"], Version(version)) for one in ranges)


def _in_range(events: list[Mapping[str, str]], version: Version) -> bool:
    """Says whether a version lies between an `introduced` and the `fixed` or `last_affected` that follows it."""
    inside = False
    for event in sorted(events, key=_place):
        ((kind, value),) = event.items()
        if kind == "introduced":
            inside = inside or value == "0" or version >= Version(value)
        elif version > Version(value) or (kind == "fixed" and version == Version(value)):
            inside = False
    return inside


def _place(event: Mapping[str, str]) -> Version:
    ((_, value),) = event.items()
    try:
        return Version(value)
    except InvalidVersion:
        raise ValueError(f"{value!r} is no version") from None


if __name__ == "__main__":
    sys.exit(main())
