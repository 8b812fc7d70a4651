"""What of a job would run at one site, byte for byte, and the hash that a person approves.

That is every file of the app that goes to the site, and of `meta.json` all that is not the server's own note. What is
not known is part of it: a key that FLARE gains tomorrow changes the hash, and is seen, instead of slipping through.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fedvoxel.config import read_json
from fedvoxel.errors import ConfigError, JobError
from fedvoxel.governance.job_archive import LARGEST_BYTES, MOST_FILES, check_formats
from fedvoxel.governance.job_files import ALL_SITES
from fedvoxel.governance.job_folder import META_FILE, SIGNATURES
from fedvoxel.records.canonical import sha256_of
from fedvoxel.records.names import RUN_KEY

_SERVERS_NOTES = frozenset(
    {
        "approvals", "byoc", "cloned_from", "content_location", "data_storage_format", "duration", "job_clients",
        "job_deploy_detail", "job_folder_name", "job_id", "last_schedule_time", "result_location", "schedule_count",
        "schedule_history", "start_time", "status", "submit_time", "submit_time_iso", "submitter_name",
        "submitter_org", "submitter_role",
    }
)  # fmt: skip
"""What the server adds to a job's meta; none of it decides what runs at a site, which finds code by itself."""

_LAUNCHER = "launcher_spec"
_DEFAULTS = {"study": "default", "resource_spec": {}}
"""What says the same as nothing: FLARE puts every job into a study of this name."""


@dataclass(frozen=True)
class Submission:
    """Is what of a job would run at a site.

    Attributes:
        meta: The content of `meta.json` without the server's notes.
        files: The app's files by path in the app, sorted, without FLARE's signatures.
    """

    meta: Mapping[str, Any]
    files: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """Is the job's name."""
        return str(self.meta.get("name", ""))

    @property
    def sha256(self) -> str:
        """Is the hash that names the content."""
        hashes = {path: hashlib.sha256(content).hexdigest() for path, content in self.files.items()}
        return sha256_of({"meta": dict(self.meta), "files": hashes})

    @property
    def code(self) -> tuple[str, ...]:
        """Are the files that are no settings, and `meta.json` where it says what program to start a job with."""
        files = tuple(path for path in self.files if not _is_settings(path))
        return (*files, META_FILE) if self.meta.get(_LAUNCHER) else files

    @property
    def settings(self) -> dict[str, Any]:
        """Are the files with settings, read, and the meta, by name.

        Raises:
            JobError: One is no JSON.
        """
        return {META_FILE: dict(self.meta)} | {
            path: _json(path, content) for path, content in self.files.items() if _is_settings(path)
        }

    @property
    def cohorts(self) -> frozenset[str]:
        """Are the cohorts that the settings name; none where one is not named in plain words.

        FLARE fills in variables, such as "{x}", from elsewhere in a file or from the environment: what such a job uses
        only shows when it runs.

        Raises:
            JobError: A file is no JSON.
        """
        found = frozenset(_named("cohort", self.settings))
        return found if all(RUN_KEY.fullmatch(name) for name in found) else frozenset()

    def as_json(self) -> dict[str, Any]:
        """Returns the submission for a file of its own: nothing in it can be run or imported where it lies."""
        files = {path: base64.b64encode(content).decode() for path, content in self.files.items()}
        return {"schema_version": 1, "meta": dict(self.meta), "files": files}


def submission_from_json(values: Any) -> Submission:
    """Returns what `Submission.as_json` wrote.

    Raises:
        ConfigError: It is nothing of the kind.
    """
    try:
        files = {path: base64.b64decode(text, validate=True) for path, text in values["files"].items()}
        return Submission(dict(values["meta"]), files)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ConfigError("a kept job is not as it was written; remove it, and have the job submitted again") from None


def submission_of(meta: Mapping[str, Any], app: Path) -> Submission:
    """Reads what came to a site.

    Args:
        meta: The job's meta, as the server sent it.
        app: The folder of the app, unpacked.

    Raises:
        JobError: There is more than anybody could look at, a link, what is no file, or settings that are no JSON.
    """
    everything = sorted(app.rglob("*"))
    if any(path.is_symlink() for path in everything):
        raise JobError("the job holds links; FLARE signs none, and this site takes none")
    if not all(path.is_file() or path.is_dir() for path in everything):
        raise JobError("the job holds something else than files and folders, which no job consists of")
    paths = [path for path in everything if path.name not in SIGNATURES]
    files = [path for path in paths if path.is_file()]
    check_formats(path.relative_to(app).as_posix() for path in files)
    if len(files) > MOST_FILES or sum(path.stat().st_size for path in files) > LARGEST_BYTES:
        raise JobError(f"the job is larger than {MOST_FILES} files or {LARGEST_BYTES >> 20} MiB: nobody could read it")
    return Submission(_own(meta), {path.relative_to(app).as_posix(): path.read_bytes() for path in files})


def submission_of_folder(folder: Path, site: str) -> Submission:
    """Reads what of a job folder would go to a site.

    Raises:
        ConfigError: It is no job folder, or deploys nothing there.
        JobError: See `submission_of`.
    """
    meta = read_json(folder / META_FILE, f"the job's {META_FILE}")
    places = meta.get("deploy_map") if isinstance(meta, dict) else None
    if not isinstance(places, dict):
        raise ConfigError(f"the job's {META_FILE}: expected an object with a deploy_map")
    apps = [
        app for app, names in places.items() if isinstance(names, list) and {site, ALL_SITES} & set(map(str, names))
    ]
    if len(apps) != 1 or not (folder / apps[0]).is_dir():
        raise ConfigError(f"the job deploys {len(apps)} apps to {site}; expected one, with a folder of its name")
    return submission_of(meta, folder / apps[0])


def _own(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the job's own part of a meta, in plain JSON."""
    try:
        plain = json.loads(json.dumps(dict(meta), allow_nan=False, ensure_ascii=False).encode("utf-8"))
    except (TypeError, ValueError, RecursionError):  # of text that nobody can write, too
        raise JobError(f"the job's {META_FILE} is no JSON") from None
    return {key: value for key, value in plain.items() if key not in _SERVERS_NOTES and value != _DEFAULTS.get(key)}


def _is_settings(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return len(parts) == 2 and parts[0] == "config" and path.endswith(".json")


def _json(path: str, content: bytes) -> Any:
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise JobError(f"the job's {path} is no JSON") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _named(key: str, value: Any) -> Iterator[str]:
    """Finds what a key says, wherever it stands."""
    if isinstance(value, dict):
        found = value.get(key)
        if isinstance(found, str):
            yield found
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _named(key, item)
