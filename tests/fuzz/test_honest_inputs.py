"""What was not spoiled is taken: a target that refuses everything would find nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.shareable import Shareable, make_reply

from fedvoxel.export.signature import sign
from fedvoxel.records.canonical import canonical_json
from tests.bad_archives import archive_of
from tests.export.throwaway_root import NOW
from tests.fuzz.der import pem
from tests.fuzz.spoiled import files_of
from tests.fuzz.targets import authority, backups, certificates, cohort_lists, countersignatures, doors, incidents
from tests.fuzz.targets import server_state as server
from tests.fuzz.targets import site_state as site

_NOTHING = ("nothing.txt", b"")
"""A change that spoils nothing."""


def _answered() -> Shareable:
    reply = make_reply("OK")
    reply["answer"] = countersignatures._run()[2]
    return reply


def _asked() -> Shareable:
    request = Shareable()
    request["question"] = countersignatures._run()[1].model_dump(mode="json")
    return request


def _withdrawn() -> bytes:
    statement = canonical_json(authority._STATEMENT)
    signature = sign(authority._operator(), authority.PURPOSE, statement, NOW).model_dump(mode="json")
    return b'{"statement": %s, "signature": %s}' % (statement, json.dumps(signature).encode())


def _arrived() -> tuple[Any, Any]:
    client = "config/config_fed_client.json"
    return json.loads((doors._job() / "meta.json").read_text()), (client, (doors._job() / "app" / client).read_bytes())


HONEST: dict[str, tuple[Callable[[Any, Path], None], Callable[[], Any]]] = {
    "upload": (doors._upload, lambda: archive_of(doors._job())),
    "arrival": (doors._arrive, _arrived),
    "request": (certificates._ask, lambda: pem("CERTIFICATE REQUEST", certificates._request())),
    "answer": (certificates._install, lambda: certificates._zipped(files_of(certificates.given()[0]), None, False)),
    "fetched": (certificates._take_up, dict),
    "register": (authority._register, lambda: _NOTHING),
    "withdrawal": (authority._withdrawal, _withdrawn),
    "backup": (backups._restore, lambda: backups._backup()[0]),
    "sealed backup": (backups._restore, lambda: backups._backup()[1]),
    "countersignature": (countersignatures._receive, _answered),
    "log to be signed": (countersignatures._sign, _asked),
    "journal": (server._go_on, lambda: ("file", _NOTHING)),
    "models": (server._begin, lambda: _NOTHING),
    "words of jobs": (server._keep, lambda: [_NOTHING]),
    "shut out": (server._shut_out, lambda: _NOTHING),
    "arrays": (server._arrays, lambda: server._ARRAYS),
    "run at a site": (site._remember, lambda: (_NOTHING,)),
    "exclusions": (site._leave_out, lambda: _NOTHING),
    "approvals": (site._admit, lambda: _NOTHING),
    "incidents": (incidents._stop, lambda: _NOTHING),
    "lists": (cohort_lists._list, lambda: _NOTHING),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_is_not_spoiled_is_taken(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    act, made = HONEST[name]
    act(made(), tmp_path)
