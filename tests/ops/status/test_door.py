"""Over real TLS with real kits: who comes in, who does not, what may be asked for, and that nothing can be changed."""

import shutil
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fedvoxel.governance.authority_store import open_authority
from fedvoxel.governance.certificate_request import key_bytes
from fedvoxel.governance.consortium import authority_folder
from fedvoxel.governance.holder import Holder
from fedvoxel.governance.kit import Kit
from fedvoxel.ops.status.agreement import AGREEMENT_FILE
from fedvoxel.ops.status.door import HEADERS, REFUSED
from fedvoxel.ops.status.serving import OwnCertificate
from fedvoxel.records.revocation import LIST_FILE
from tests.consortium_kits import PASSPHRASE
from tests.ops.status.status_sample import IT, OPERATOR, PHYSICIAN, SERVER, Sample
from tests.ops.status.status_server import Pair, client_with, pair_of, served

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CLOSED = (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, ssl.SSLError)
"""What a client meets whose handshake is refused: by TLS 1.3 only when it reads."""


@pytest.fixture(scope="module")
def address(sample: Sample) -> Iterator[str]:
    with served(sample.server) as url:
        yield url


def ask(
    pair: Pair | None, sample: Sample, address: str, path: str = "/status.json", method: str = "GET"
) -> httpx.Response:
    with client_with(pair, sample.server.root_certificate, address) as client:
        return client.request(method, path)


def issued(sample: Sample, folder: Path, holder: Holder, days: int = 5) -> Pair:
    """A certificate that the consortium's own authority has issued."""
    place = authority_folder(sample.consortium.workspace)
    certificate = open_authority(place, place, PASSPHRASE).issue(holder, KEY.public_key(), days)
    return written(folder, certificate)


def written(folder: Path, certificate: x509.Certificate) -> Pair:
    (folder / "c.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "c.key").write_bytes(key_bytes(KEY))
    return folder / "c.crt", folder / "c.key"


@pytest.mark.parametrize(
    ("name", "role", "organisation", "others"),
    [
        (OPERATOR, "project_admin", "consortium", "everything"),
        (IT, "org_admin", "hospital_a", "nothing"),
        (PHYSICIAN, "member", "hospital_a", "nothing"),
        ("hospital-b", "site", "hospital_b", "nothing"),
    ],
)
def test_who_looks_is_who_the_certificate_says(
    name: str, role: str, organisation: str, others: str, sample: Sample, address: str
) -> None:
    answer = ask(pair_of(sample.startup(name)), sample, address)
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    assert answer.json()["viewer"] == {"name": name, "role": role, "organisation": organisation}
    assert answer.json()["others"] == others
    page = ask(pair_of(sample.startup(name)), sample, address, "/")
    assert page.status_code == 200 and f"You are {name} ({role}, {organisation})" in page.text


def test_every_answer_has_the_policy_and_is_kept_by_nobody(sample: Sample, address: str) -> None:
    for path, status in (("/", 200), ("/static/status.js", 200), ("/static/status.css", 200), ("/nowhere", 404)):
        answer = ask(pair_of(sample.startup(IT)), sample, address, path)
        assert answer.status_code == status
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["content-security-policy"] and "server" not in answer.headers
    page = ask(pair_of(sample.startup(IT)), sample, address, "/").text
    assert " style=" not in page and "<style" not in page and " on" + "click" not in page and "http" not in page


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"])
def test_nothing_but_reading_is_answered(method: str, sample: Sample, address: str) -> None:
    for path in ("/", "/status.json", "/nowhere"):
        answer = ask(pair_of(sample.startup(OPERATOR)), sample, address, path, method)
        assert answer.status_code == 405 and answer.headers["allow"] == "GET"


@pytest.mark.parametrize(
    "path", ["/static/../page.html", "/static/page.html", "/static/", "/page.html", "/docs", "/status.json/"]
)
def test_there_are_no_other_pages(path: str, sample: Sample, address: str) -> None:
    assert ask(pair_of(sample.startup(OPERATOR)), sample, address, path).status_code == 404


# ------------------------------------------------------------------ who does not come in


def test_without_a_certificate_there_is_no_answer(sample: Sample, address: str) -> None:
    with pytest.raises(CLOSED):
        ask(None, sample, address)


def test_a_certificate_that_its_holder_has_signed_gets_no_answer(sample: Sample, address: str, tmp_path: Path) -> None:
    root = x509.load_pem_x509_certificate(sample.server.root_certificate.read_bytes())
    own = pair_of(sample.startup(OPERATOR))[0]
    subject = x509.load_pem_x509_certificate(own.read_bytes()).subject
    for issuer in (subject, root.subject):
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(KEY.public_key())
        builder = builder.serial_number(7).not_valid_before(now - timedelta(days=1))
        made = builder.not_valid_after(now + timedelta(days=1)).sign(KEY, hashes.SHA256())
        with pytest.raises(CLOSED):
            ask(written(tmp_path, made), sample, address)


def test_a_certificate_of_another_consortium_of_the_same_name_gets_no_answer(
    sample: Sample, address: str, tmp_path: Path
) -> None:
    from tests.governance.quick_authority import quick_authority

    foreign = quick_authority(tmp_path / "ca").issue(
        Holder(OPERATOR, "consortium", "person", "project_admin"), KEY.public_key(), 5
    )
    with pytest.raises(CLOSED):
        ask(written(tmp_path, foreign), sample, address)


def test_an_expired_certificate_gets_no_answer(sample: Sample, address: str, tmp_path: Path) -> None:
    holder = Holder(PHYSICIAN, "hospital_a", "person", "member")
    assert ask(issued(sample, tmp_path, holder), sample, address).status_code == 200
    expired = issued(sample, tmp_path, holder, days=0)
    with pytest.raises(CLOSED):
        ask(expired, sample, address)


@pytest.mark.parametrize(
    "holder",
    [
        Holder("auditor@hospital-a.example", "hospital_a", "person", "auditor"),
        Holder("somebody@hospital-a.example", "", "person", "member"),
        Holder("other.server.example", "consortium", "server"),
    ],
    ids=["unknown role", "no organisation", "a server"],
)
def test_who_has_no_place_here_is_refused_before_any_content(
    holder: Holder, sample: Sample, address: str, tmp_path: Path
) -> None:
    for path in ("/", "/status.json", "/static/status.css", "/nowhere"):
        answer = ask(issued(sample, tmp_path, holder), sample, address, path)
        assert (answer.status_code, answer.text) == (403, REFUSED)


def test_the_servers_own_certificate_does_not_open_it(sample: Sample, address: str) -> None:
    startup = sample.startup(SERVER)
    answer = ask((startup / "server.crt", startup / "server.key"), sample, address)
    assert (answer.status_code, answer.text) == (403, REFUSED)


def test_old_tls_is_not_spoken(sample: Sample, address: str) -> None:
    assert OwnCertificate(sample.server).context.minimum_version == ssl.TLSVersion.TLSv1_2
    context = ssl.create_default_context(cafile=str(sample.server.root_certificate))
    context.load_cert_chain(*pair_of(sample.startup(IT)))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with httpx.Client(verify=context, base_url=address) as client:
        assert client.get("/status.json").status_code == 200


def test_a_revoked_certificate_is_out_at_once_also_on_an_open_connection(
    sample: Sample, kit: Kit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = issued(sample, tmp_path, Holder("gone@hospital-a.example", "hospital_a", "person", "lead"))
    with served(kit) as url, client_with(pair, kit.root_certificate, url) as client:
        assert client.get("/").status_code == 200
        sample.revoke("gone@hospital-a.example")
        shutil.copy(sample.server.startup / LIST_FILE, kit.startup / LIST_FILE)
        for path in ("/", "/status.json", "/static/status.js"):
            answer = client.get(path)
            assert (answer.status_code, answer.text) == (403, REFUSED)
        assert ask(pair_of(sample.startup(IT)), sample, url).status_code == 200
    assert "viewer_refused" in caplog.text and "revoked" in caplog.text


def test_an_older_list_lets_nobody_back_in(sample: Sample, kit: Kit, tmp_path: Path) -> None:
    before = (kit.startup / LIST_FILE).read_bytes()
    pair = issued(sample, tmp_path, Holder("out@hospital-a.example", "hospital_a", "person", "lead"))
    sample.revoke("out@hospital-a.example")
    (kit.state / "certificates").mkdir(exist_ok=True)
    shutil.copy(sample.server.startup / LIST_FILE, kit.state / "certificates" / LIST_FILE)  # as the server keeps it
    (kit.startup / LIST_FILE).write_bytes(before)
    with served(kit) as url:
        assert ask(pair, sample, url).status_code == 403
        assert ask(pair_of(sample.startup(OPERATOR)), sample, url).status_code == 403


@pytest.mark.parametrize("damage", ["gone", "empty"])
def test_nobody_comes_in_without_a_list_that_can_be_relied_on(damage: str, sample: Sample, kit: Kit) -> None:
    with served(kit) as url:
        assert ask(pair_of(sample.startup(OPERATOR)), sample, url).status_code == 200
        (kit.startup / LIST_FILE).unlink()
        if damage == "empty":
            (kit.startup / LIST_FILE).write_bytes(b"")
        assert ask(pair_of(sample.startup(OPERATOR)), sample, url).status_code == 403


# ------------------------------------------------------------------ the agreement, and what changes meanwhile


def test_the_agreement_is_read_anew_and_a_damaged_one_is_the_least(sample: Sample, kit: Kit) -> None:
    path, pair = kit.local / AGREEMENT_FILE, pair_of(sample.startup(IT))
    with served(kit) as url:
        assert len(ask(pair, sample, url).json()["sites"]) == 1
        path.write_text('{"schema_version": 1, "others": "everything"}')
        assert len(ask(pair, sample, url).json()["sites"]) == 4
        for damaged in ('{"schema_version": 1, "others": "all"}', "nonsense", '{"others": "nothing", "more": 1}'):
            path.write_text(damaged)
            answer = ask(pair, sample, url)
            assert len(answer.json()["sites"]) == 1 and "hospital-b" not in answer.text
            assert answer.json()["not_shown"] == [
                "what hospitals see of one another (the agreement is damaged, and the least is shown)"
            ]


def test_hospitals_cannot_compare_what_they_call_a_third(sample: Sample, kit: Kit) -> None:
    (kit.local / AGREEMENT_FILE).write_text('{"schema_version": 1, "others": "state"}')
    with served(kit) as url:
        names = [
            {line["site"] for line in ask(pair_of(sample.startup(who)), sample, url).json()["sites"]}
            for who in (IT, "it@hospital-b.example")
        ]
        again = {line["site"] for line in ask(pair_of(sample.startup(IT)), sample, url).json()["sites"]}
    assert len(names[0]) == len(names[1]) == 4 and names[0] & names[1] == set() and again == names[0]


def test_a_renewed_certificate_of_the_server_is_shown_without_a_restart(sample: Sample, kit: Kit) -> None:
    with served(kit) as url:
        assert ask(pair_of(sample.startup(IT)), sample, url).status_code == 200
        place = authority_folder(sample.consortium.workspace)
        made = open_authority(place, place, PASSPHRASE).issue(
            Holder(SERVER, "consortium", "server", hosts=("localhost",)), KEY.public_key(), 5
        )
        kit.private_key.write_bytes(key_bytes(KEY))
        kit.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        ask(pair_of(sample.startup(IT)), sample, url)
        with (
            client_with(pair_of(sample.startup(IT)), kit.root_certificate, url) as client,
            client.stream("GET", "/") as got,
        ):
            line = got.extensions["network_stream"].get_extra_info("ssl_object")
            assert int(line.getpeercert()["serialNumber"], 16) == made.serial_number


def test_reading_changes_nothing(sample: Sample, kit: Kit) -> None:
    def all_files() -> dict[str, tuple[int, int]]:
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in kit.folder.rglob("*")}

    before = all_files()
    with served(kit) as url:
        for name in (OPERATOR, IT, "hospital-b"):
            assert ask(pair_of(sample.startup(name)), sample, url, "/").status_code == 200
    assert all_files() == before
