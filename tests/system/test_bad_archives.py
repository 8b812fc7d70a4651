"""Job archives that no console makes, sent to a real server over its own upload: refused, audited, and nothing else."""

import json
import tempfile
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from nvflare.fuel.hci.client import file_transfer
from nvflare.fuel.utils.config import ConfigFormat
from nvflare.fuel.utils.config_factory import ConfigFactory

from fedvoxel.records.audit import AuditLog
from tests.bad_archives import BAD_ARCHIVES, ESCAPED, Spoil, archive_of

from .conftest import SCIENTIST, SystemUnderTest, job_variant, wait_until

pytestmark = pytest.mark.slow

CANARY = "canary-in-a-file-of-the-server"


def _submit(system: SystemUnderTest, monkeypatch: pytest.MonkeyPatch, job: Path, spoil: Spoil) -> str:
    """Submits an archive as the console would, which is not what the console would make, and returns the answer."""

    def spoilt(upload_folder: str, folder_name: str, out: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile's, of a name that is there already
            Path(out).write_bytes(archive_of(job, spoil))

    with monkeypatch.context() as patched:
        patched.setattr(file_transfer, "zip_directory_to_file", spoilt)
        reply: dict[str, Any] = system.session.api.do_command(f"submit_job {job}")
    return json.dumps(reply, default=str)


def _refusals(system: SystemUnderTest) -> list[str]:
    events = [event for _, event in AuditLog(system.running.consortium.server_kit / "state").read()]
    told = [event for event in events if event.task == "submit_job" and event.outcome == "refused"]
    assert all(event.kind == "command" and event.actor and event.actor.name == SCIENTIST for event in told)
    return [event.reason for event in told]


def _uploads_left() -> list[Path]:
    """Finds archives of this module's job where FLARE puts uploads: under random names, in a folder shared with all."""
    files = (
        path for path in Path(tempfile.gettempdir()).glob("????????-????-????-????-????????????") if path.is_file()
    )
    return [path for path in files if b"bad_archive" in path.read_bytes()]


def _job(folder: Path) -> Path:
    made = job_variant(folder, "bad_archive", rounds=1)
    return made.rename(folder / "job")


@pytest.fixture
def address() -> Iterator[tuple[str, list[str]]]:
    """An address that answers with settings, and who has asked there."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'name = "fetched"\n')

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/settings", asked
        server.shutdown()
        thread.join()


def test_every_bad_archive_is_refused_and_the_server_goes_on(
    system: SystemUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, kit = _job(tmp_path), system.running.consortium.server_kit
    jobs = set((kit / "state" / "jobs").rglob("*"))
    for name, (spoil, why) in BAD_ARCHIVES.items():
        assert why in _submit(system, monkeypatch, job, spoil), name
    expected = {why for _, why in BAD_ARCHIVES.values()}
    wait_until(
        lambda: all(any(why in told for told in _refusals(system)) for why in expected), 30, "each refusal is audited"
    )
    assert set((kit / "state" / "jobs").rglob("*")) == jobs, "nothing was stored"
    assert _uploads_left() == [], "no upload was left"
    for place in (kit.parent, Path(tempfile.gettempdir()), Path("/")):
        assert [path.name for path in place.glob(f"*{ESCAPED}*")] == []
    assert system.run(job).status == "finished", "the server goes on, and takes the job as it was meant"


@pytest.mark.parametrize("name", ["job/meta.conf", "job/app/config/config_fed_server.conf"])
def test_nothing_that_settings_include_is_read(
    system: SystemUnderTest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: tuple[str, list[str]],
    name: str,
) -> None:
    (tmp_path / "canary.conf").write_text(f'name = "{CANARY}"\n')
    url, asked = address
    settings = f'include file("{tmp_path / "canary.conf"}")\ninclude url("{url}")\n'
    # This is what FLARE does with such settings, when it gets to see them.
    followed = ConfigFactory.get_config_loader(ConfigFormat.PYHOCON).load_config_from_str(settings).to_dict()
    assert followed["name"] == "fetched" and asked.pop() == "/settings"

    job = _job(tmp_path)
    plain = job.parent / Path(name).with_suffix(".json")
    plain.unlink()  # FLARE takes the first that it finds, and JSON comes first
    reply = _submit(system, monkeypatch, job, lambda archive: archive.writestr(name, settings))
    assert "settings that are no JSON" in reply and CANARY not in reply and asked == []
    assert wait_until(lambda: [told for told in _refusals(system) if Path(name).name in told], 30, "the audit")
