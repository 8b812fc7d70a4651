"""Hashes by which an audit log names what a job runs, and the policy under which a site lets it."""

from pathlib import Path

from fedvoxel.governance.job_folder import SIGNATURES
from fedvoxel.records.canonical import sha256_of, sha256_of_file

_OWN_DESCRIPTION = "fedvoxel_site.json"
"""Describes cohorts and holds the pseudonym key; it decides nothing about jobs."""


def job_hash(app: Path) -> str:
    """Returns the hash of everything in a job's app folder but FLARE's signatures: the same on server and sites.

    Raises:
        OSError: A file cannot be read.
    """
    files = [path for path in sorted(app.rglob("*")) if path.is_file() and path.name not in SIGNATURES]
    return sha256_of({path.relative_to(app).as_posix(): sha256_of_file(path) for path in files})


def policy_hash(local: Path) -> str:
    """Returns the hash of a kit's policy: of each JSON file in `local/`, and of FLARE's defaults beside them.

    Raises:
        OSError: A file cannot be read.
    """
    files = [*sorted(local.glob("*.json")), *sorted(local.glob("*.json.default"))]
    return sha256_of({path.name: sha256_of_file(path) for path in files if path.name != _OWN_DESCRIPTION})
