"""The server's door and a site's: uploaded jobs, who registers, and a job as it comes to a site."""

import io
import json
import shutil
import zipfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import strategies as st
from nvflare.fuel.f3.message import Message
from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.proto import InternalCommands
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.private.defs import CellMessageHeaderKeys, ClientType

from fedvoxel.errors import FedVoxelError, JobError
from fedvoxel.flare.door_checks import PersonCheck, Senders, guarded_registration
from fedvoxel.flare.job_signer import signer_of
from fedvoxel.flare.submission_check import SubmissionCheck
from fedvoxel.governance.job_archive import check_job_archive
from fedvoxel.governance.submission import submission_of
from fedvoxel.records.revocation import LIST_FILE, read_lists
from tests.approval_kits import NOW, Hospital, blob_job
from tests.bad_archives import BAD_ARCHIVES, archive_of
from tests.export.throwaway_root import Root
from tests.fuzz.der import mutated_der, pem, said_in, signed_anew, signs
from tests.fuzz.mutation import HOSTILE, mutated_bytes, mutated_value, plain
from tests.fuzz.spoiled import Spoiled, files_of, lay_out, spoiled
from tests.fuzz.target import Target, UnwantedError
from tests.fuzz.targets.fobs import archives

_LEAD = "lead@x.example"
_SIGNED = (".__nvfl_sig.json", ".__nvfl_submitter.crt")


@cache
def _consortium() -> Hospital:
    made = Hospital(Path(mkdtemp(prefix="fedvoxel_fuzz_")) / "consortium")
    made.person(_LEAD, "x", role="lead", key=rsa.generate_private_key(65537, 2048))
    made.revoke()
    return made


@cache
def _job() -> Path:
    """A job's folder as the console has signed it."""
    return _consortium().signed(blob_job(Path(mkdtemp(prefix="fedvoxel_fuzz_")) / "job"), _LEAD)


# ------------------------------------------------------------------ what is uploaded


@st.composite
def _uploads(draw: st.DrawFn) -> bytes:
    """An archive that nobody should take, a signed one with another file, or one with other bytes."""
    kind = draw(st.sampled_from(("made", "bad", "spoiled", "bytes")))
    if kind == "made":
        return draw(archives())
    if kind == "bad":
        return archive_of(_job(), BAD_ARCHIVES[draw(st.sampled_from(tuple(BAD_ARCHIVES)))][0])
    if kind == "bytes":
        return draw(mutated_bytes((archive_of(_job()),)))
    return _zipped(draw(spoiled(files_of(_job()), tuple(files_of(_job())))))


def _zipped(change: Spoiled) -> bytes:
    name, content = change
    files = files_of(_job()) | ({name: content} if isinstance(content, bytes) else {f"{name}/x": b"{}"})
    if content == "missing":
        del files[name]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path, written in files.items():
            archive.writestr(f"job/{path}", written)
    return stream.getvalue()


def _upload(content: bytes, folder: Path) -> None:
    """Of what is let in, each file's content was signed; FLARE signs neither names nor that all are there."""
    upload = folder / "upload"
    upload.write_bytes(content)
    conn = Connection()
    conn.set_prop(ConnProps.USER_NAME, _LEAD)
    conn.set_prop(ConnProps.FILE_LOCATION, str(upload))
    told: list[str] = []
    check = SubmissionCheck(_consortium().kit.root_certificate, lambda *said: told.append(said[2]))
    if not check.pre_command(conn, ["job.submit_job", "job"]):
        _tells_one_line(told)
        raise JobError("refused")
    with zipfile.ZipFile(upload) as archive:
        taken = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    _check_signed({name.partition("/")[2]: read for name, read in taken.items()})


def _check_signed(files: dict[str, bytes]) -> None:
    signed = set(files_of(_job()).values())
    if not {content for name, content in files.items() if not name.endswith(_SIGNED)} <= signed:
        raise UnwantedError("a job that was let in, and holds what nobody has signed")


def _tells_one_line(told: list[str]) -> None:
    if len(told) != 1 or not told[0].isprintable() or len(told[0]) > 500:
        raise UnwantedError(f"a refusal that is not told, or not in one line: {told!r}")


def _check(content: bytes, folder: Path) -> None:
    (folder / "upload").write_bytes(content)
    check_job_archive(folder / "upload")


# ------------------------------------------------------------------ who comes


@cache
def _certificates() -> tuple[bytes, ...]:
    root = Root()
    held = (root.issue("hospital-a", None), root.issue(_LEAD), root.issue("server.example", None, hosts=["localhost"]))
    return tuple(x509.load_pem_x509_certificate(one.certificate.encode()).public_bytes(Encoding.DER) for one in held)


@st.composite
def _shown(draw: st.DrawFn) -> Any:
    """What stands where a certificate should: one with other content, other bytes, or no bytes."""
    if draw(st.integers(0, 5)) == 0:
        return plain(draw(st.sampled_from(HOSTILE)))
    der = draw(st.one_of(mutated_der(_certificates()), mutated_bytes(_certificates())))
    return pem("CERTIFICATE", der)


_PAYLOADS = st.one_of(_shown().map(lambda shown: {"cert": shown}), st.sampled_from(HOSTILE).map(plain))
_COMES = st.tuples(_PAYLOADS, st.sampled_from((ClientType.REGULAR, ClientType.ADMIN, "relay", "")), _shown())


def _register(case: tuple[Any, str, Any], folder: Path) -> None:
    """Nobody is let in without a word, and nobody whose certificate is not read; FLARE proves it after that."""
    payload, kind, shown = case
    told: list[str] = []
    register = guarded_registration(lambda *_: None, "server.example", lambda *said: told.append(said[2]))
    message = Message({CellMessageHeaderKeys.CLIENT_NAME: "hospital-a"}, payload)
    if register(message, SimpleNamespace(get_prop=lambda _: None), kind) is not None or not told:
        raise UnwantedError("somebody who is let in, or refused without a word")
    conn = Connection()
    conn.set_prop(ConnProps.CMD_HEADERS, {"cert": shown})
    check = PersonCheck(Senders(lambda *_: None), lambda *said: told.append(said[2]))
    if check.pre_command(conn, [InternalCommands.CERT_LOGIN, _LEAD]) or len(told) != 2:
        raise UnwantedError("a person who logs in without a connection of their own")
    raise JobError("refused")


# ------------------------------------------------------------------ what comes to a site


def _admitted_meta() -> st.SearchStrategy[Any]:
    meta = json.loads((_job() / "meta.json").read_text())
    return mutated_value((meta,)).map(plain)


@st.composite
def _arrivals(draw: st.DrawFn) -> tuple[Any, Spoiled]:
    """A job's meta, and a file of its app that was spoiled, its signatures more often than others."""
    files = {
        path.removeprefix("app/"): content for path, content in files_of(_job()).items() if path.startswith("app/")
    }
    signed = tuple(name for name in files if name.endswith(_SIGNED))
    change = draw(spoiled(files, draw(st.sampled_from((signed, tuple(files))))))
    if change[0].endswith(_SIGNED[1]) and draw(st.booleans()):
        change = change[0], draw(_signer_certificates())
    return draw(_admitted_meta()), change


@st.composite
def _signer_certificates(draw: st.DrawFn) -> bytes:
    """The submitter's certificate with other content, which the consortium's root itself has signed."""
    root = _consortium().root
    written = _consortium().kit_of(_LEAD) / "startup" / "client.crt"
    der = x509.load_pem_x509_certificate(written.read_bytes()).public_bytes(Encoding.DER)
    return pem("CERTIFICATE", signed_anew(der, draw(mutated_der((said_in(der),))), signs(root.key)))


def _arrive(case: tuple[Any, Spoiled], folder: Path) -> None:
    """What counts as signed holds nothing that was not."""
    meta, change = case
    shutil.copytree(_job() / "app", folder / "given" / "app")
    app = lay_out(folder / "given" / "app", change, folder)
    came = submission_of(meta if isinstance(meta, dict) else {}, app)
    _ = came.sha256, came.code, came.name
    _ = came.cohorts
    kit = _consortium().kit
    signer = signer_of(app, kit.root_certificate, read_lists(kit.startup / LIST_FILE), NOW)
    if signer is None:
        raise JobError("nobody has signed it")
    _check_signed(files_of(app))


TARGETS = (
    Target("uploads", "job archives", st.deferred(_uploads), _upload, (JobError,)),
    Target(
        "checked_archives",
        "job archives",
        st.deferred(_uploads),
        _check,
        (JobError,),
        bytes_origins=(archive_of(_job()),),
    ),
    Target("registrations", "certificates", st.deferred(lambda: _COMES), _register, (JobError,)),
    Target("arrivals_at_a_site", "job archives", st.deferred(_arrivals), _arrive, (FedVoxelError,)),
)
