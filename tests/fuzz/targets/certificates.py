"""Requests for certificates, the operator's answers, and what a site fetches of its own."""

import io
import zipfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import strategies as st
from nvflare.fuel.f3.message import Message

from fedvoxel.errors import ConsortiumError
from fedvoxel.flare.certificate_keeper import take_up_all
from fedvoxel.governance.answer import install_answer
from fedvoxel.governance.authority import Authority
from fedvoxel.governance.authority_store import open_authority
from fedvoxel.governance.certificate_request import certificate_fingerprint, read_request, requested_by
from fedvoxel.governance.certificates import check_certificates
from fedvoxel.governance.consortium import authority_folder
from fedvoxel.governance.holder import Holder
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.records.identity import CROSS_FILE, load_root
from tests.consortium_kits import PASSPHRASE, small_consortium
from tests.fuzz.der import mutated_der, pem, said_in, signed_anew, signs
from tests.fuzz.mutation import HOSTILE, mutated_bytes, plain
from tests.fuzz.spoiled import files_of, lay_out, spoiled
from tests.fuzz.target import Target, UnwantedError

_SITE, _NAME = Holder("hospital-a", "hospital_a", "site"), "hospital-a"
_HOLDERS = (_SITE, Holder("lead@consortium.example", "consortium", "person", "lead"))

# ------------------------------------------------------------------ requests


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def _request() -> bytes:
    """A hospital's request (DER)."""
    from cryptography.hazmat.primitives import hashes

    request = x509.CertificateSigningRequestBuilder().subject_name(_SITE.subject).sign(_key(), hashes.SHA256())
    return request.public_bytes(Encoding.DER)


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    """A request that asks for something else, signed with its own key; or one of other bytes."""
    if draw(st.integers(0, 3)) == 0:
        return draw(mutated_bytes((pem("CERTIFICATE REQUEST", _request()),)))
    asked = draw(mutated_der((said_in(_request()),)))
    return pem("CERTIFICATE REQUEST", signed_anew(_request(), asked, signs(_key())))


def _ask(content: bytes, folder: Path) -> None:
    (folder / "asked.csr").write_bytes(content)
    try:
        holder, _ = requested_by(read_request(folder / "asked.csr"), _HOLDERS)
    except ConsortiumError as error:
        if not str(error).isprintable() or len(str(error)) > 500:
            raise UnwantedError(f"a refusal that is not one line: {error}") from None
        raise
    if holder not in _HOLDERS:
        raise UnwantedError("somebody whom nobody knows")


# ------------------------------------------------------------------ answers


@cache
def given() -> tuple[Path, Authority]:
    """A kit that has no private key, with that key beside it, and the authority that has made it."""
    made = small_consortium(Path(mkdtemp(prefix="fedvoxel_fuzz_")))
    kit = made.kit(_NAME)
    (kit / "startup" / "client.key").rename(kit.parent / "client.key")
    folder = authority_folder(kit.parents[len(kit.relative_to(_workspace(kit)).parts) - 1])
    return kit, open_authority(folder, folder, PASSPHRASE)


def _workspace(kit: Path) -> Path:
    return next(path for path in kit.parents if authority_folder(path).is_dir())


_NAMES = (
    *(
        "../escaped",
        "/escaped",
        "startup/../../escaped",
        "startup",
        "startup/",
        "local/x/y",
        "",
        "/",
        ".",
        "..",
        "a\\b",
    ),
    *("startup/" + "x" * 300, "local/\x00", "state/audit", "startup/client.key", "C:/x", "startup/client.crt/x"),
    *("startup/\u202e.pem", "state", "local", "startup/ ", "startup/.", "x" * 300),
)


@st.composite
def _answers(draw: st.DrawFn) -> bytes:
    """An answer with a spoiled file, a name that no kit has, a certificate of other content, or other bytes."""
    kind = draw(st.sampled_from(("file", "certificate", "certificate", "cross", "name", "bomb", "bytes")))
    files = files_of(given()[0])
    names = tuple(name for name in files if name.startswith(("startup/fed_", "startup/client", "startup/root")))
    if kind == "file":
        name, content = draw(spoiled(files, draw(st.sampled_from((names, tuple(files))))))
        files |= {name: content} if isinstance(content, bytes) else {f"{name}/x": b""}
    elif kind in ("certificate", "cross"):
        files |= {f"startup/{'client.crt' if kind == 'certificate' else CROSS_FILE}": draw(_certificates())}
        files |= {"startup/rootCA.pem": files["startup/rootCA.pem"] + draw(_certificates())} if kind == "cross" else {}
    content = _zipped(files, draw(st.sampled_from(_NAMES)) if kind == "name" else None, kind == "bomb")
    return draw(mutated_bytes((content,))) if kind == "bytes" else content


def _zipped(files: dict[str, bytes], name: str | None, bomb: bool) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        if name is not None:
            member = zipfile.ZipInfo()
            member.filename = name
            archive.writestr(member, b"x")
        if bomb:
            archive.writestr("local/bomb", bytes(50_000_000))
    return stream.getvalue()


@st.composite
def _certificates(draw: st.DrawFn) -> bytes:
    """The hospital's or the root's certificate with other content, signed by the root or by nobody."""
    kit, authority = given()
    name = draw(st.sampled_from(("client.crt", "rootCA.pem")))
    der = load_root(kit / "startup" / name).public_bytes(Encoding.DER)
    said = draw(mutated_der((said_in(der),)))
    (root,) = authority.roots
    return pem("CERTIFICATE", signed_anew(der, said, signs(root.key) if draw(st.booleans()) else lambda _: b"x" * 256))


def _install(content: bytes, folder: Path) -> None:
    """What was refused leaves nothing; what was installed is a kit below its folder."""
    kit, authority = given()
    answer, target = folder / "answer.kit.zip", folder / "kits" / "kit"
    answer.write_bytes(content)
    shown = certificate_fingerprint(authority.roots[0].certificate)
    try:
        install_answer(answer, kit.parent / "client.key", shown, target)
    finally:
        left = {path.name for path in (folder / "kits").iterdir()} if (folder / "kits").is_dir() else set()
        if left - {"kit"} or {path.name for path in folder.iterdir()} - {"answer.kit.zip", "kits"}:
            raise UnwantedError(f"what is left: {left}")
    if any(path.is_symlink() for path in target.rglob("*")):
        raise UnwantedError("a link in a kit")
    check_certificates(open_kit(target))


# ------------------------------------------------------------------ what a site fetches, and has in its kit

_PARTS = ("roots", "cross", "list", "certificate")


@cache
def _whole() -> Path:
    """The kit with its private key."""
    kit, _ = given()
    copied = lay_out(kit, ("startup/client.key", (kit.parent / "client.key").read_bytes()), Path(mkdtemp()))
    (copied / "state").mkdir(exist_ok=True)
    return copied


@st.composite
def _fetched(draw: st.DrawFn) -> Any:
    """What the server may answer: certificates, roots and lists with other content, or something else."""
    kit, authority = given()
    (root,) = authority.roots
    listed = x509.load_pem_x509_crl(authority.list_file.read_bytes()).public_bytes(Encoding.DER)
    signed = signed_anew(listed, draw(mutated_der((said_in(listed),))), signs(root.key))
    own = (kit / "startup" / "rootCA.pem").read_bytes()
    made = {
        "roots": own + draw(_certificates()),
        "cross": draw(_certificates()),
        "certificate": draw(_certificates()),
        "list": pem("X509 CRL", signed),
    }
    part = draw(st.sampled_from(_PARTS))
    made[part] = draw(st.one_of(mutated_bytes((made[part],)), st.sampled_from(HOSTILE).map(plain), st.just(made[part])))
    return made if draw(st.integers(0, 9)) else plain(draw(st.sampled_from(HOSTILE)))


def _take_up(payload: Any, folder: Path) -> None:
    """Whatever the server says, the site goes on, and its kit can be used as before."""
    kit = open_kit(lay_out(_whole(), ("startup/client.key", (given()[0].parent / "client.key").read_bytes()), folder))
    kit.private_key.chmod(0o600)
    before = _read(kit)
    take_up_all(kit, Message({}, payload))
    if _read(kit)[:1] != before[:1]:
        raise UnwantedError("a kit whose first root is another")
    bad = [one.message for one in check_certificates(kit) if one.level == "error"]
    if bad:
        raise UnwantedError(f"a kit that is not in order any more: {bad}")


def _read(kit: Kit) -> tuple[bytes, ...]:
    return (load_root(kit.root_certificate).public_bytes(Encoding.DER),)


TARGETS = (
    Target("requests", "certificates", st.deferred(_requests), _ask, (ConsortiumError,)),
    Target("answers", "certificates", st.deferred(_answers), _install, (ConsortiumError,)),
    Target("fetched", "certificates", st.deferred(_fetched), _take_up),
)
