"""A private key never leaves its owner: the flow of docs/operator.md and docs/hospital_it.md, command by command."""

import json
import re
import shutil
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
from fedvoxel.governance.kit import open_kit
from fedvoxel.governance.site_policy import check_policy
from tests.consortium_kits import free_port

ROOT = Path(__file__).resolve().parents[2]
OPERATOR, HOSPITAL_IT = (ROOT / "docs" / page for page in ("operator.md", "hospital_it.md"))
SERVER = "localhost"
HOSPITALS = ("hospital-a", "hospital-b")
SCIENTIST = "scientist@consortium.example"


@dataclass
class Owner:
    """Is one participant's machine: a folder, and a home that FLARE keeps its records in."""

    name: str
    folder: Path

    def run(self, words: list[str]) -> str:
        """Runs a command in the folder and returns what it said."""
        module = {"nvflare": "nvflare.cli", "fedvoxel": "fedvoxel.cli.main"}[words[0]]
        (self.folder / "home").mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", module, *words[1:]],
            cwd=self.folder,
            env=child_environment({"HOME": str(self.folder / "home")}),
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
        """Is where `nvflare package` makes the owner's kit."""
        return self.folder / "kits" / "fedvoxel" / "prod_00" / self.name


def documented(page: Path, command: str) -> list[str]:
    """Returns the words of a command that the page gives for hospital-a."""
    shown = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert command in "".join(shown).splitlines(), f"{page.name} does not say: {command}"
    return command.split()


def _example(page: Path, key: str) -> dict[str, object]:
    """Returns the first YAML example of a page that has `key` at its top."""
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        values = yaml.safe_load(block)
        if isinstance(values, dict) and key in values:
            return values
    raise AssertionError(f"{page.name} has no example with {key}")


@pytest.fixture(scope="module")
def owners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Owner]:
    """Everyone has a kit made from a key of their own, and the operator has signed the requests."""
    folder, port = tmp_path_factory.mktemp("owners"), free_port()
    everyone = {name: Owner(name, folder / name) for name in ("operator", SERVER, *HOSPITALS, SCIENTIST)}
    for owner in everyone.values():
        owner.folder.mkdir()
    operator = everyone["operator"]
    address = {"fed_learn_port": port, "admin_port": port}
    profile = _example(OPERATOR, "connection_security") | {"server": {"host": SERVER, **address}}
    (operator.folder / "profile.yml").write_text(yaml.safe_dump(profile))
    said = operator.run(documented(OPERATOR, "nvflare cert init --profile profile.yml -o ca"))
    fingerprint = re.findall(r"SHA256:[0-9A-F:]+", said)[0]
    for name in (SERVER, *HOSPITALS, SCIENTIST):
        _join(everyone[name], operator, fingerprint, address)
    return everyone


def _join(owner: Owner, operator: Owner, fingerprint: str, address: dict[str, int]) -> None:
    """Follows hospital_it.md for one owner; only the request and the signed answer travel."""
    described = _example(HOSPITAL_IT, "participants") | {"participants": [_participant(owner.name, address)]}
    (owner.folder / "hospital-a.yml").write_text(yaml.safe_dump(described))
    owner.run(documented(HOSPITAL_IT, "nvflare cert request -p hospital-a.yml"))
    shutil.copy(owner.folder / owner.name / f"{owner.name}.request.zip", operator.folder)
    approve = (
        "nvflare cert approve hospital-a.request.zip --ca-dir ca --profile profile.yml --out hospital-a.signed.zip"
    )
    operator.run([word.replace("hospital-a", owner.name) for word in documented(OPERATOR, approve)])
    shutil.copy(operator.folder / f"{owner.name}.signed.zip", owner.folder)
    package = "nvflare package hospital-a.signed.zip --fingerprint SHA256:... --request-dir hospital-a -w kits"
    words = [word.replace("hospital-a", owner.name) for word in documented(HOSPITAL_IT, package)]
    owner.run([fingerprint if word == "SHA256:..." else word for word in words])
    init = documented(HOSPITAL_IT, "fedvoxel site init kits/fedvoxel/prod_00/hospital-a")
    owner.run([word.replace("hospital-a", owner.name) for word in init])


def _participant(name: str, address: dict[str, int]) -> dict[str, object]:
    if name == SERVER:
        return {"name": name, "type": "server", "org": "consortium", **address}
    server = {"server": {"host": SERVER, **address}}
    if name == SCIENTIST:
        return {"name": name, "type": "admin", "org": "consortium", "role": "lead", **server}
    return {"name": name, "type": "client", "org": name.replace("-", "_"), **server}


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
        if b"PRIVATE KEY" in content:
            keys.append(path)
    assert keys == ["ca/rootCA.key"]
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
