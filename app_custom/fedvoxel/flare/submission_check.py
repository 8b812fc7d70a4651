"""Looks at every job that is submitted before FLARE parses anything of it, and has what is refused in the audit.

FLARE receives a file before it knows whose it is and what for, and removes none. Here no file outlasts its command.
It does not say over whose connection a job came either, so that a stolen session would do: a job is taken only from the
one who has signed every file of it. FLARE signs the bytes of each file alone, neither its place nor its job: who has a
stolen session can put files together that this person has signed, in other jobs perhaps and under other names.
"""

import tempfile
import zipfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.proto import MetaKey, MetaStatusValue, make_meta
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.fuel.hci.server.reg import CommandFilter
from nvflare.lighter.utils import verify_folder_signature_and_get_signers

from fedvoxel.errors import JobError
from fedvoxel.flare.door_checks import SUBMIT, OnRefused
from fedvoxel.governance.job_archive import check_job_archive


class SubmissionCheck(CommandFilter):
    """Refuses an archive that is no plain job folder or another's, and tells of what FLARE itself refuses."""

    def __init__(self, root_certificate: Path, on_refused: OnRefused) -> None:
        """Takes the consortium's root certificate, by which signatures are looked at."""
        super().__init__()
        self._root_certificate, self._on_refused = root_certificate, on_refused

    def pre_command(self, conn: Connection, args: list[str]) -> bool:
        """Returns whether the command goes on to FLARE."""
        # Nothing but a job is ever uploaded, whatever the command that comes with it is called.
        uploaded = conn.get_prop(ConnProps.FILE_LOCATION)
        if not uploaded:
            return True
        user = str(conn.get_prop(ConnProps.USER_NAME))
        try:
            check_job_archive(Path(uploaded))
            signers = _signers(Path(uploaded), self._root_certificate)
            if signers != {user}:
                by = f"signed by {', '.join(sorted(signers))}" if signers else "not signed, or not as it is now,"
                raise JobError(f"the job is {by} and came in the session of {user}: submit its folder, which signs it")
        except JobError as problem:
            conn.append_error(str(problem), meta=make_meta(MetaStatusValue.INVALID_JOB_DEFINITION, str(problem)))
            self._refused(conn, str(problem))
            return False
        return True

    def post_command(self, conn: Connection, args: list[str]) -> bool:
        """Tells of a job that FLARE did not take."""
        meta = conn.buffer.meta
        if conn.get_prop(ConnProps.FILE_LOCATION) and meta.get(MetaKey.STATUS) != MetaStatusValue.OK:
            self._refused(conn, str(meta.get(MetaKey.INFO) or "FLARE does not take it"))
        return True

    def _refused(self, conn: Connection, why: str) -> None:
        self._on_refused(SUBMIT, str(conn.get_prop(ConnProps.USER_NAME) or "unknown"), why)


def _signers(archive: Path, root_certificate: Path) -> set[str]:
    """Returns the names of all who signed a part of an archive that was checked; none where a part is not signed.

    Raises:
        JobError: It cannot be unpacked.
    """
    signers: set[str] = set()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(scratch)
            for folder in Path(scratch).iterdir():
                verified, found = verify_folder_signature_and_get_signers(str(folder), str(root_certificate))
                if not verified:
                    return set()
                signers.update(str(name) for name, *_ in found)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise JobError(f"the server could not unpack the job to look at its signature ({reason})") from None
    return signers


def without_leftovers(process: Callable[[Connection, str], None]) -> Callable[[Connection, str], None]:
    """Returns FLARE's `ServerCommandRegister.process_command` that then removes what came with a command.

    That is whatever comes without a session or the right to submit, with an unknown or another command, or for a job
    that FLARE has already: no filter sees all of it. The file of a job that FLARE takes has been moved by then.
    """

    @wraps(process)
    def processed(conn: Connection, command: str) -> None:
        try:
            process(conn, command)
        finally:
            uploaded = conn.get_prop(ConnProps.FILE_LOCATION)
            # FLARE puts uploads there; nothing else is removed, whatever a command comes with.
            if uploaded and Path(uploaded).parent == Path(tempfile.gettempdir()):
                Path(uploaded).unlink(missing_ok=True)

    return processed
