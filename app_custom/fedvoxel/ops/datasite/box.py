"""Syft's job folders (syft-job) as a letter box: requests come in, answers and refusals go out.

A Syft job always has a script and code: `run.sh`, which Syft's own runner would execute with the account's rights, and
`code/`. We read one file of it, `code/request.json`, and run none. A job is never set to "approved" in Syft either: it
goes from pending to done or rejected, so that Syft's runner, should anybody start it, finds nothing to run.
The folder is shared, and others write in it: a box with a link in it is not touched, and what it says decides nothing.
"""

import io
import stat
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel.errors import ConfigError, JobError
from fedvoxel.governance.evaluation_request import LARGEST_REQUEST_BYTES
from fedvoxel.ops.datasite.answer import ANSWER_FILE, LARGEST_ANSWER_BYTES
from fedvoxel.plain_file import read_plain
from fedvoxel.records.atomic import write_public

REQUEST_FILE, STUB_FILE = "request.json", "main.py"
_STUB = '"""A request in request.json, for people to read. There is no code here, and nobody runs this file."""\n'
_LARGEST_SETTINGS_BYTES = 256 * 1024
_OURS = {f"code/{REQUEST_FILE}", f"code/{STUB_FILE}", "run.sh", "config.yaml"}


@dataclass(frozen=True)
class Letter:
    """Is one Syft job, and what of it concerns us.

    Attributes:
        job: Syft's name of it, as its sender chose it.
        sender: Whose folder it came in; the signature in it says who asks.
        status: As Syft has it.
        file: The request's bytes; None where it cannot be read.
        more: How many files it holds that we have not written; nobody runs them.
        unreadable: Whether there is a file that could not be read just now.
    """

    job: str
    sender: str
    status: str
    file: bytes | None
    more: int
    unreadable: bool = False


def syft_name(site: str) -> str:
    """Returns the name of a site's datasite: Syft's names are e-mail addresses."""
    return f"datasite@{site}"


class LetterBox:
    """Is the shared folder, as one person or one site sees it."""

    def __init__(self, folder: Path, name: str) -> None:
        """Opens the folder.

        Args:
            folder: Syft's folder (SyftBox).
            name: Who looks: a person's name in the consortium, or `syft_name` of a site.

        Raises:
            ConfigError: syft-job is not installed, or there is no such folder.
        """
        try:
            from syft_job import JobClient, SyftJobConfig
        except ImportError:
            raise ConfigError("this needs syft-job: pip install -c constraints.txt '.[syft]'") from None
        if not folder.is_dir():
            raise ConfigError("expected --box: an existing folder that is shared with the other side")
        self._folder, self._name = folder.resolve(), name
        config = SyftJobConfig(syftbox_folder=self._folder, current_user_email=name)
        with _quiet(), _readable():
            self._client = JobClient.from_config(config)

    def open_for(self, person: str) -> None:
        """Makes the folders by which a person may write to this datasite, with Syft's permissions."""
        with _quiet(), _readable():
            self._check_plain()
            self._client.setup_ds_job_folder_as_do(person)

    def send(self, datasite: str, job: str, request: bytes) -> None:
        """Puts a request into a datasite's box.

        Raises:
            JobError: There is a job of that name.
        """
        # Syft would write into run.sh what to install, and ask the other side for it; nobody installs anything.
        self._client.peer_install_sources[datasite] = "syft-job"
        with tempfile.TemporaryDirectory() as made, _quiet(), _readable():
            self._check_plain()
            (Path(made) / REQUEST_FILE).write_bytes(request)
            (Path(made) / STUB_FILE).write_text(_STUB)
            try:
                self._client.submit_python_job(datasite, made, job_name=job, entrypoint=STUB_FILE)
            except FileExistsError:
                raise JobError(f"the box has a job {job} already") from None

    def letters(self, datasite: str, sender: str | None = None) -> list[Letter]:
        """Returns what lies in a datasite's box, by sender and name.

        Args:
            datasite: Whose box.
            sender: From whom only; from all when None.
        """
        found = [_letter(job) for job in self._jobs(datasite) if sender in (None, job.submitted_by)]
        return sorted(found, key=lambda one: (one.sender, one.job))

    def hand_over(self, letter: Letter, answer: bytes) -> None:
        """Puts an answer beside a request, in the place of an earlier one, readable (as Syft has it) by its sender.

        Raises:
            JobError: The request is gone, or was rejected.
        """
        job = self._own(letter)
        if job.status == "rejected":
            raise JobError("the request was rejected in Syft, which is final there: have it asked anew")
        with tempfile.TemporaryDirectory() as made, _quiet(), _readable():
            (Path(made) / ANSWER_FILE).write_bytes(answer)
            if job.status != "done":
                job.accept_by_depositing_result(str(Path(made) / ANSWER_FILE))
            # As a whole, and whatever this account's umask: the folder's rights say who reads it.
            write_public(job.job_review_path / "outputs" / ANSWER_FILE, answer)
            job.share_outputs([letter.sender])

    def reject(self, letter: Letter) -> None:
        """Tells the sender that it was rejected, and not why.

        Raises:
            JobError: The request is gone, or was answered.
        """
        job = self._own(letter)
        if job.status == "done":
            raise JobError("the refusal is on record; an answer had left before, and stays where it is")
        if job.status == "pending":
            with _quiet(), _readable():
                job.reject()

    def answer_to(self, letter: Letter, datasite: str) -> bytes | None:
        """Returns the answer to a request; None where there is none."""
        jobs = [one for one in self._jobs(datasite) if (one.name, one.submitted_by) == (letter.job, letter.sender)]
        if len(jobs) != 1 or letter.status != "done":
            return None
        return _bytes_of(jobs[0].job_review_path / "outputs" / ANSWER_FILE, LARGEST_ANSWER_BYTES)

    def _jobs(self, datasite: str) -> list[Any]:
        """Returns Syft's jobs in a datasite's box.

        Raises:
            ConfigError: The folder cannot be used, or holds what Syft should not read; see `_check_plain`.
        """
        with _quiet(), _readable():
            self._check_plain()
            return [job for job in self._client.jobs if job.datasite_owner_email == datasite]

    def _check_plain(self) -> None:
        """Looks through all of the shared folder, since Syft reads the jobs of every datasite in it.

        Raises:
            ConfigError: It holds a link, by which a file elsewhere would be read or written, a pipe or device, at which
                one would wait, or a file of settings that is larger than any that Syft writes.
        """
        for path in self._folder.rglob("*"):
            status = path.lstat()
            if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
                what = "a link" if stat.S_ISLNK(status.st_mode) else "a pipe or device"
            elif path.suffix in (".yaml", ".yml") and status.st_size > _LARGEST_SETTINGS_BYTES:
                what = f"a {path.suffix} file of more than {_LARGEST_SETTINGS_BYTES} bytes"
            else:
                continue
            raise ConfigError(f"{what} lies in the box, and nothing is read or written there before it is removed")

    def _own(self, letter: Letter) -> Any:
        jobs = [one for one in self._jobs(self._name) if (one.name, one.submitted_by) == (letter.job, letter.sender)]
        if len(jobs) != 1 or jobs[0].status not in ("pending", "done", "rejected"):
            raise JobError("the request is not in the box any more, or somebody else changed its state there")
        return jobs[0]


def _letter(job: Any) -> Letter:
    folder = job.job_submission_path
    file = _bytes_of(folder / "code" / REQUEST_FILE, LARGEST_REQUEST_BYTES)
    unreadable = file is None and (folder / "code" / REQUEST_FILE).is_file()
    held = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    more = {name for name in held - _OURS if not name.endswith("syft.pub.yaml")}
    return Letter(job.name, job.submitted_by, job.status, file, len(more), unreadable)


def _bytes_of(path: Path, most_bytes: int) -> bytes | None:
    try:
        return read_plain(path, most_bytes)
    except OSError:
        return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what Syft prints to itself: paths and pictures, where a script may expect JSON."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _readable() -> Iterator[None]:
    """Says in our words what the shared folder did not let us do.

    Raises:
        ConfigError: It cannot be read or written.
    """
    try:
        yield
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise ConfigError(f"the shared folder cannot be used: {what}; see its rights, and docs/syft.md") from None
