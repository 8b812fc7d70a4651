"""A job as it lies on disk: three JSON files and nothing else, so that no code travels with it.

FLARE ignores misspelt keys, runs whatever lies in `custom/`, and then no longer asks the site's list of allowed
classes. Here everything that is not known is refused, in words that name the file and the key. What the arguments of
the job's components mean is not known here: the rooms above read them.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel.config import parse_config, read_json
from fedvoxel.errors import ConfigError, JobError
from fedvoxel.governance.job_files import JOB_NAME, ClientFile, Component, ExecutorEntry, JobMeta, ServerFile
from fedvoxel.records.atomic import write_json

META_FILE = "meta.json"
SERVER_FILE = "config_fed_server.json"
CLIENT_FILE = "config_fed_client.json"

SIGNATURES = frozenset({".__nvfl_sig.json", ".__nvfl_submitter.crt"})
"""What the admin console leaves in every folder that it submits."""

Documents = Mapping[str, Any]
"""The content of a job's files by path relative to the job folder."""


@dataclass(frozen=True)
class JobFolder:
    """Is a job whose files are in order.

    Attributes:
        documents: Its files as they are, for a variant of it.
        app: The name of its app folder.
    """

    documents: Documents
    app: str
    meta: JobMeta
    server: ServerFile
    client: ClientFile

    @property
    def controller(self) -> Component:
        """Is the workflow that the server runs."""
        return self.server.workflows[0]

    @property
    def executor(self) -> ExecutorEntry:
        """Is what answers tasks at the sites."""
        return self.client.executors[0]

    @property
    def server_document(self) -> str:
        """Is the path of the server's file in the job folder."""
        return f"{self.app}/config/{SERVER_FILE}"

    @property
    def client_document(self) -> str:
        """Is the path of the sites' file in the job folder."""
        return f"{self.app}/config/{CLIENT_FILE}"

    def server_classes(self) -> tuple[str, ...]:
        """Returns the class paths that the server must allow."""
        return _classes((self.controller, *self.server.extra_components()))

    def site_classes(self) -> tuple[str, ...]:
        """Returns the class paths that every site must allow."""
        return _classes((self.executor.executor, *self.client.extra_components()))


def code_in(folder: Path) -> tuple[str, ...]:
    """Returns what in a job folder FLARE would treat as code: the files in a `custom` folder, and Python files."""
    return tuple(
        name for name in _files(folder) if name.endswith((".py", ".pyc")) or name.split("/")[1:2] == ["custom"]
    )


def read_job_folder(folder: Path) -> JobFolder:
    """Reads a job.

    Raises:
        ConfigError: It is no job folder, holds code or anything but its JSON files, or a file is not valid.
    """
    if not (folder / META_FILE).is_file():
        raise ConfigError(f"{folder} is not a job folder: expected {META_FILE} in it")
    names = _files(folder)
    code = code_in(folder)
    if code:
        raise ConfigError(
            f"the job holds code ({_some(code)}): a FedVoxel job is JSON only, and sites refuse others; "
            "remove it, what a job may use is installed at the sites"
        )
    other = [name for name in names if not name.endswith(".json")]
    if other:
        raise ConfigError(f"the job holds files that are not JSON ({_some(other)}); remove them")
    return parse_job({name: read_json(folder / name, f"the job's {name}") for name in names})


def parse_job(documents: Documents) -> JobFolder:
    """Checks the content of a job's files.

    Raises:
        ConfigError: A file is missing, unknown, or not valid; the message names the file and the key.
    """
    meta = parse_config(JobMeta, documents.get(META_FILE), f"the job's {META_FILE}")
    app = next(iter(meta.deploy_map))
    server_name, client_name = f"{app}/config/{SERVER_FILE}", f"{app}/config/{CLIENT_FILE}"
    missing = [name for name in (server_name, client_name) if name not in documents]
    if missing:
        raise ConfigError(f"the job lacks {' and '.join(missing)}; {META_FILE} deploys the app {app!r}")
    unknown = sorted(set(documents) - {META_FILE, server_name, client_name})
    if unknown:
        raise ConfigError(f"the job holds unknown files ({_some(unknown)}); it has {META_FILE} and two in {app}/config")
    server = parse_config(ServerFile, documents[server_name], f"the job's {SERVER_FILE}")
    client = parse_config(ClientFile, documents[client_name], f"the job's {CLIENT_FILE}")
    return JobFolder(documents, app, meta, server, client)


def write_job_folder(job: JobFolder, destination: Path) -> None:
    """Writes a job to a new folder, whole or not at all.

    Raises:
        JobError: The folder exists, or FLARE would not take its name.
    """
    destination = destination.absolute()
    if not JOB_NAME.fullmatch(destination.name):
        raise JobError(f"folder name {destination.name!r}: FLARE takes letters, digits, '.', '_' and '-' only")
    if destination.exists():
        raise JobError(f"{destination} exists already; remove it, or choose another folder")
    destination.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{destination.name}-", dir=destination.parent))
    try:
        unfinished.chmod(0o755)
        for name, content in job.documents.items():
            write_json(unfinished / name, content)
        unfinished.rename(destination)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _files(folder: Path) -> list[str]:
    """Returns the files' paths relative to the job folder, without the console's signatures.

    Raises:
        ConfigError: There is a link among them.
    """
    paths = sorted(path for path in folder.rglob("*") if path.name not in SIGNATURES)
    links = [str(path.relative_to(folder)) for path in paths if path.is_symlink()]
    if links:
        raise ConfigError(f"the job holds links ({_some(links)}): FLARE signs no links; put the files themselves there")
    return [path.relative_to(folder).as_posix() for path in paths if path.is_file()]


def _classes(components: tuple[Component, ...]) -> tuple[str, ...]:
    paths = [part.path for part in components]
    return tuple(dict.fromkeys((*paths, *(path for part in components for path in _nested(part.args)))))


def _nested(value: Any) -> Iterator[str]:
    """Finds classes in arguments: FLARE builds every object there that has a class path."""
    if isinstance(value, dict):
        yield from (str(value[key]) for key in ("path", "class_path") if key in value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        yield from _nested(item)


def _some(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
