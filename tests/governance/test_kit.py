"""Opening a kit: what it says of itself, and that no other folder passes for one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedvoxel.errors import ConsortiumError, LedgerError
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.governance.kit_lock import is_running, lock_kit
from fedvoxel.governance.start_scripts import adapt_start_scripts
from tests.consortium_kits import SERVER

Copy = Callable[[str], Kit]


@pytest.mark.parametrize(
    ("name", "kind", "organisation", "host"),
    [
        ("hospital-a", "site", "hospital_a", "localhost"),
        (SERVER, "server", "consortium", "127.0.0.1"),
        ("scientist@consortium.example", "person", "consortium", "localhost"),
    ],
)
def test_a_kit_says_whose_it_is(kit: Copy, name: str, kind: str, organisation: str, host: str) -> None:
    opened = kit(name)
    assert (opened.name, opened.kind, opened.organisation, opened.project) == (name, kind, organisation, "small")
    assert opened.server.host == host
    assert opened.server.identity == ("" if kind == "server" else SERVER)


def test_a_folder_that_is_no_kit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConsortiumError, match="not a startup kit"):
        open_kit(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", '{"servers": []}', '{"servers": [{"service": {"target": "x"}}]}'])
def test_a_kit_without_a_server_address_is_refused(kit: Copy, content: str) -> None:
    site = kit("hospital-a")
    (site.startup / "fed_client.json").write_text(content)
    with pytest.raises(ConsortiumError, match="where the server is"):
        open_kit(site.folder)


def test_a_kit_without_a_certificate_is_refused(kit: Copy) -> None:
    site = kit("hospital-a")
    site.certificate.write_text("none")
    with pytest.raises(ConsortiumError, match="not a PEM certificate"):
        open_kit(site.folder)
    site.certificate.unlink()
    with pytest.raises(ConsortiumError, match="is missing"):
        open_kit(site.folder)


def test_start_scripts_are_adapted_once(kit: Copy) -> None:
    for name in ("hospital-a", SERVER):
        opened = kit(name)
        script = opened.startup / "sub_start.sh"
        text = script.read_text()
        assert 'exec "${FEDVOXEL_PYTHON:-python3}" -u -m nvflare' in text
        assert '. "$WORKSPACE/local/environment"' in text
        assert text.index("umask 077") < text.index('exec "${FEDVOXEL_PYTHON')
        assert ("heart_beat_interval=3" in text) == (name != SERVER)
        adapt_start_scripts(opened)
        assert script.read_text() == text
        assert script.stat().st_mode & 0o111
    assert '"${FEDVOXEL_PYTHON:-python3}" -m' in (kit("admin@consortium.example").startup / "fl_admin.sh").read_text()


def test_an_unknown_start_script_is_refused(kit: Copy) -> None:
    site = kit("hospital-a")
    (site.startup / "sub_start.sh").write_text("#!/bin/sh\n")
    with pytest.raises(ConsortiumError, match="not the one of FLARE"):
        adapt_start_scripts(site)
    (site.startup / "sub_start.sh").unlink()
    with pytest.raises(ConsortiumError, match="missing"):
        adapt_start_scripts(site)


def test_a_kit_runs_once(kit: Copy) -> None:
    import os

    site = kit("hospital-a")
    assert not is_running(site)
    assert not (site.state / "running.lock").exists(), "who only looks, as whatever account, leaves nothing behind"
    handle = lock_kit(site)
    assert is_running(site)
    with pytest.raises(ConsortiumError, match="already running"):
        lock_kit(site)
    os.close(handle)
    assert not is_running(site)


def test_another_account_than_the_owner_does_not_run_a_kit(kit: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    site, owner = kit("hospital-a"), os.geteuid()
    site.state.mkdir(mode=0o700, exist_ok=True)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(LedgerError, match="state/ of kit hospital-a belongs to account"):
        lock_kit(site)
    assert not (site.state / "running.lock").exists()
