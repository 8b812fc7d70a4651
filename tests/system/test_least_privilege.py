"""What other accounts of a machine, and people at the console, see of a real run: no key, weights, patient or token."""

import base64
import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from nvflare.apis.job_launcher_spec import JobProcessEnv

from .conftest import SITES, SystemUnderTest, job_variant, processes_of, trainers_of

pytestmark = pytest.mark.slow

PUBLIC = re.compile(
    r"readme\.txt|local/(\w+\.json\.default|environment|privacy\.json)|startup/((client|server)\.crt|rootCA\.pem|crl\.pem"
    r"|fed_(client|server|admin)\.json|\w+\.sh)"
)
"""What of a kit anybody may read: certificates, the revocation list, addresses, scripts and the shipped policy."""

TABLES = re.compile(r"local/\w+\.csv")
"""What these tests, not the software, have put into `local/`, which no other account can enter."""

TRIED = ("check_status server", "check_status client", "list_jobs", "show_scopes server", "sys_info server")


def _participants(system: SystemUnderTest) -> dict[str, Path]:
    names = (system.running.consortium.record.server, *SITES)
    return {name: system.kit(name) for name in names}


def _shown_to_others(kit: Path) -> Iterator[str]:
    """Finds the files of a kit that group or others may read or write, by their own mode."""
    for path in kit.rglob("*"):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o066:
            yield path.relative_to(kit).as_posix()


def _tokens(processes: list[psutil.Process], job_id: str) -> set[str]:
    """Returns what proves to the server who a job's processes are, from where FLARE hands it to them."""
    names = (JobProcessEnv.AUTH_TOKEN, JobProcessEnv.TOKEN_SIGNATURE)
    found = {process.environ().get(name, "") for process in processes for name in names}
    return found - {"", job_id}  # the server's own job process goes by the job's id


def _keys(kits: dict[str, Path]) -> set[str]:
    """Returns a line from the middle of each private key."""
    return {path.read_text().splitlines()[5] for kit in kits.values() for path in (kit / "startup").glob("*.key")}


def test_a_run_shows_nothing_to_others(system: SystemUnderTest, tmp_path: Path) -> None:
    kits = _participants(system)
    job_id = system.submit(job_variant(tmp_path, "least_privilege", rounds=2, epochs=10))
    system.wait_until_training(job_id, 0, SITES)
    processes = processes_of(system.running.consortium.workspace)
    trainers = [trainer for site in SITES for trainer in trainers_of(system.kit(site))]
    tokens, keys = _tokens(processes, job_id), _keys(kits)
    assert len(tokens) >= 2 * len(SITES) and len(keys) == len(kits) and len(trainers) == len(SITES)

    lines = "\n".join(" ".join(process.cmdline()) for process in (*processes, *trainers))
    assert [secret[:8] for secret in (*tokens, *keys) if secret in lines] == []
    inherited = "\n".join(str(trainer.environ()) for trainer in trainers)
    assert [secret[:8] for secret in (*tokens, *keys) if secret in inherited] == []
    for command in TRIED:
        reply = json.dumps(system.session.api.do_command(command), default=str)
        assert [token[:8] for token in tokens if token in reply] == [], command
    assert "hidden" in json.dumps(system.session.api.do_command("check_status server"), default=str)

    system.wait(job_id)
    assert system.outcome(job_id).status == "finished"
    for name, kit in kits.items():
        shown = {path for path in _shown_to_others(kit) if not PUBLIC.fullmatch(path) and not TABLES.fullmatch(path)}
        assert shown == set(), name
        certificate = f"startup/{'client' if name in SITES else 'server'}.crt"
        checked_with = {certificate, "startup/rootCA.pem", "startup/crl.pem"}
        assert checked_with <= set(_shown_to_others(kit)), f"{name}: other accounts check signatures with these"
        assert stat.S_IMODE((kit / "local").stat().st_mode) & 0o077 == 0 or name not in SITES
        assert stat.S_IMODE((kit / "state").stat().st_mode) == 0o700
        assert _holding(kit, tokens | keys) <= {"startup/client.key", "startup/server.key"}


def _holding(kit: Path, secrets: set[str]) -> set[str]:
    """Returns the files that hold a secret, as text or in Base64."""
    wanted = [form for secret in secrets for form in (secret.encode(), base64.b64encode(secret.encode())[:-4])]
    files = (path for path in kit.rglob("*") if path.is_file() and not path.is_symlink())
    contents = {path.relative_to(kit).as_posix(): path.read_bytes() for path in files}
    return {name for name, content in contents.items() if any(form in content for form in wanted)}
