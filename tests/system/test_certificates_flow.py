"""A private key never leaves its owner: the flow of docs/operator.md and docs/hospital_it.md, command by command."""

import json
import re
import shutil
import ssl
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from fedvoxel.flare.kit_making import child_environment
from fedvoxel.governance.authority_store import PASSPHRASE_VARIABLE
from fedvoxel.governance.kit import open_kit
from fedvoxel.governance.site_policy import check_policy
from tests.consortium_kits import free_port

ROOT = Path(__file__).resolve().parents[2]
OPERATOR, HOSPITAL_IT = (ROOT / "docs" / page for page in ("operator.md", "hospital_it.md"))
SERVER = "localhost"
HOSPITALS = ("hospital-a", "hospital-b")
SCIENTIST = "scientist@consortium.example"
PASSPHRASE = "correct horse battery"


@dataclass
class Owner:
    """Is one participant's machine: a folder, and a home that FLARE keeps its records in."""

    name: str
    folder: Path

    def run(self, words: list[str]) -> str:
        """Runs a command in the folder and returns what it said."""
        (self.folder / "home").mkdir(exist_ok=True)
        passphrase = {PASSPHRASE_VARIABLE: PASSPHRASE} if self.name == "operator" else {}
        done = subprocess.run(
            [sys.executable, "-m", "fedvoxel.cli.main", *words[1:]],
            cwd=self.folder,
            env=child_environment({"HOME": str(self.folder / "home"), **passphrase}),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def kit(self) -> Path:
        """Is the owner's kit."""
        return self.folder / self.name


def documented(page: Path, command: str) -> list[str]:
    """Returns the words of a command that the page gives for hospital-a."""
    shown = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert command in "".join(shown).splitlines(), f"{page.name} does not say: {command}"
    return command.split()


@pytest.fixture(scope="module")
def owners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Owner]:
    """Everyone has a kit made from a key of their own, and the operator has answered the requests."""
    folder, port = tmp_path_factory.mktemp("owners"), free_port()
    everyone = {name: Owner(name, folder / name) for name in ("operator", SERVER, *HOSPITALS, SCIENTIST)}
    for owner in everyone.values():
        owner.folder.mkdir()
    operator = everyone["operator"]
    (operator.folder / "consortium.yml").write_text(_described(port))
    said = operator.run(documented(OPERATOR, "fedvoxel consortium init consortium.yml -w consortium"))
    fingerprint = re.findall(r"SHA256:[0-9A-F:]+", said)[0]
    for name in (SERVER, *HOSPITALS, SCIENTIST):
        _join(everyone[name], operator, fingerprint)
    return everyone


def _described(port: int) -> str:
    """Returns the shipped consortium file with a server on this machine."""
    described = yaml.safe_load((ROOT / "provisioning" / "consortium.yml").read_text(encoding="utf-8"))
    server = {"name": SERVER, "type": "server", "org": "consortium", "fed_learn_port": port, "bind_host": "127.0.0.1"}
    described["participants"] = [server] + [one for one in described["participants"] if one["type"] != "server"]
    return yaml.safe_dump(described)


def _join(owner: Owner, operator: Owner, fingerprint: str) -> None:
    """Follows hospital_it.md for one owner; only the request and the operator's answer travel."""
    request = documented(HOSPITAL_IT, "fedvoxel site request hospital-a --org hospital_a")
    role = ["--role", "lead"] if owner.name == SCIENTIST else []
    owner.run([_of(owner, word) for word in request] + role)
    shutil.copy(owner.folder / f"{owner.name}.csr", operator.folder)
    issue = documented(OPERATOR, "fedvoxel consortium issue consortium.yml hospital-a.csr -w consortium")
    operator.run([*(_of(owner, word) for word in issue), "--yes"])
    shutil.copy(operator.folder / "consortium" / "answers" / f"{owner.name}.kit.zip", owner.folder)
    install = "fedvoxel site install hospital-a.kit.zip --key hospital-a.key --fingerprint SHA256:..."
    words = [_of(owner, word) for word in documented(HOSPITAL_IT, install)]
    owner.run([fingerprint if word == "SHA256:..." else word for word in words])


def _of(owner: Owner, word: str) -> str:
    organisation = owner.name.replace("-", "_") if owner.name in HOSPITALS else "consortium"
    return word.replace("hospital_a", organisation).replace("hospital-a", owner.name)


@pytest.fixture(scope="module")
def consoles(owners: dict[str, Owner]) -> Iterator[dict[str, Path]]:
    """The server and both hospitals run from these kits; each one's output is in a file."""
    running: list[subprocess.Popen[bytes]] = []
    files = {name: owners[name].folder / "console.log" for name in (SERVER, *HOSPITALS)}
    try:
        for name, console in files.items():
            with console.open("wb") as log:
                command = [sys.executable, "-m", "fedvoxel.cli.main", "site", "start", str(owners[name].kit)]
                running.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=child_environment()))
            if name == SERVER:
                _wait_for(console, ["Server started"])
        _wait_for(files[SERVER], [f"Client: New client {name}@" for name in HOSPITALS])
        yield files
    finally:
        started = [process for child in running for process in psutil.Process(child.pid).children(recursive=True)]
        for child in reversed(running):
            child.terminate()
            child.wait(20)
        assert not [process for process in started if process.is_running()]


def _wait_for(console: Path, sayings: list[str], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while missing := [saying for saying in sayings if saying not in console.read_text(errors="replace")]:
        assert time.monotonic() < deadline, f"not said: {missing}\n{console.read_text(errors='replace')[-3000:]}"
        time.sleep(0.1)


def test_everyone_registers_with_a_key_of_their_own(consoles: dict[str, Path]) -> None:
    assert "Server started" in consoles[SERVER].read_text()


def test_the_operator_never_has_a_participants_key(owners: dict[str, Owner]) -> None:
    """No file of the operator, packed or not, holds any participant's private key; the root's own is the only key."""
    operator = owners["operator"].folder
    secrets = {
        name: open_kit(owners[name].kit).private_key.read_bytes().strip() for name in owners if name != "operator"
    }
    assert len(set(secrets.values())) == 4
    keys = []
    for path, content in _everything_in(operator):
        assert not any(secret in content for secret in secrets.values()), path
        assert PASSPHRASE.encode() not in content, path
        if b"PRIVATE KEY" in content:
            keys.append((path, b"ENCRYPTED PRIVATE KEY" in content))
    assert keys == [("consortium/authority/rootCA.key", True)]
    for name in HOSPITALS:
        assert open_kit(owners[name].kit).private_key.stat().st_mode & 0o077 == 0


def _everything_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield str(path.relative_to(folder)), path.read_bytes()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as packed:
                for name in packed.namelist():
                    yield f"{path.name}/{name}", packed.read(name)


def test_these_kits_have_the_same_safe_policy(owners: dict[str, Owner]) -> None:
    for name in (SERVER, *HOSPITALS):
        assert {finding.level for finding in check_policy(open_kit(owners[name].kit))} == {"ok"}


def test_a_site_made_like_this_passes_its_check(owners: dict[str, Owner], consoles: dict[str, Path]) -> None:
    said = owners["hospital-a"].run(["fedvoxel", "site", "check", str(owners["hospital-a"].kit), "--json"])
    assert json.loads(said)["ready"]


def test_the_data_scientist_logs_in(owners: dict[str, Owner], consoles: dict[str, Path]) -> None:
    said = owners[SCIENTIST].run(["fedvoxel", "site", "check", str(owners[SCIENTIST].kit), "--json"])
    assert "accepts this kit's certificate" in said


def test_a_renewed_certificate_reaches_a_running_site_by_itself(
    owners: dict[str, Owner], consoles: dict[str, Path]
) -> None:
    """The operator renews it and copies two things to the server; the hospital does nothing."""
    operator, site = owners["operator"], owners["hospital-a"]
    before = open_kit(site.kit).certificate.read_bytes()
    renew = "fedvoxel consortium renew consortium.yml hospital-a fl.consortium.example -w consortium"
    operator.run([word.replace("fl.consortium.example", SERVER) for word in documented(OPERATOR, renew)])
    startup = owners[SERVER].kit / "startup"
    shutil.copytree(operator.folder / "consortium" / "renewed", startup / "renewed")
    shutil.copy(operator.folder / "consortium" / "authority" / "crl.pem", startup)
    _wait_for(site.folder / "console.log", ["event=certificate_renewed", "event=revocation_list_taken_up"], 90)
    assert open_kit(site.kit).certificate.read_bytes() != before
    said = site.run(["fedvoxel", "site", "check", str(site.kit), "--json"])
    assert json.loads(said)["ready"]
    renewed = [one for one in _listed(operator) if one["name"] == "hospital-a"]
    assert [one["state"] for one in renewed] == ["replaced", "valid"]


def test_the_server_shows_its_own_renewed_certificate_without_a_restart(
    owners: dict[str, Owner], consoles: dict[str, Path]
) -> None:
    server = owners[SERVER]
    before = _shown(server.kit)
    name = "fl.consortium.example"
    renew = documented(OPERATOR, f"fedvoxel site renew {name} {name}/startup/renewed/{name}.crt")
    server.run([word.replace(name, SERVER) for word in renew])
    deadline = time.monotonic() + 30
    while _shown(server.kit) == before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "accepts this kit's certificate" in owners[SCIENTIST].run(
        ["fedvoxel", "site", "check", str(owners[SCIENTIST].kit), "--json"]
    )


def _listed(operator: Owner) -> list[dict[str, object]]:
    said = operator.run([*documented(OPERATOR, "fedvoxel consortium list -w consortium"), "--json"])
    return list(json.loads(said)["certificates"])


def _shown(kit: Path) -> bytes:
    """Returns the certificate that the server shows to who connects."""
    port = open_kit(kit).server.port
    return ssl.get_server_certificate(("localhost", port)).encode()
