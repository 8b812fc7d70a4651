"""What a site asks the server for, and gets: the newest roots and revocation list, and its own renewed certificate."""

from pathlib import Path
from typing import Any

from nvflare.fuel.f3.cellnet.core_cell import make_reply
from nvflare.fuel.f3.cellnet.defs import ReturnCode
from nvflare.fuel.f3.message import Message
from nvflare.private.defs import CellMessageHeaderKeys

from fedvoxel.governance.list_places import RENEWED
from fedvoxel.records.identity import CROSS_FILE
from fedvoxel.records.names import PARTICIPANT
from fedvoxel.records.revocation import LIST_FILE

CHANNEL, TOPIC = "fedvoxel", "certificates"
ROOTS, CROSS, LIST, CERTIFICATE = "roots", "cross", "list", "certificate"
_LARGEST_BYTES = 4 * 1024**2


class CertificateDesk:
    """Is where the server's sites ask."""

    def __init__(self, startup: Path) -> None:
        """Takes the server's `startup/` folder."""
        self._startup = startup

    def answer(self, request: Message) -> Message:
        """Returns what there is for the site that asks; both are public, and checked by who gets them."""
        name = str(request.get_header(CellMessageHeaderKeys.CLIENT_NAME, ""))
        files = {ROOTS: "rootCA.pem", CROSS: CROSS_FILE, LIST: LIST_FILE}
        found = {what: self._startup / file for what, file in files.items()}
        if PARTICIPANT.fullmatch(name):
            found[CERTIFICATE] = self._startup / RENEWED / f"{name}.crt"
        content = {what: path.read_bytes() for what, path in found.items() if path.is_file()}
        return make_reply(ReturnCode.OK, body=content)


def content_of(reply: Message, what: str) -> bytes:
    """Returns a part of an answer; nothing where it is missing or not what it should be."""
    payload: Any = reply.payload
    part = payload.get(what) if isinstance(payload, dict) else None
    return part if isinstance(part, bytes) and len(part) <= _LARGEST_BYTES else b""
