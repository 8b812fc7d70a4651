"""The site's keeper: fetches the newest revocation list and the site's renewed certificate, and warns before an end.

Runs in the site's parent process. What the server hands out is checked as if a stranger had sent it: the list must be
signed by the root in the kit and be no older than the one there, the certificate must be for this site's own name and
key. A renewed certificate is shown with the next connection; the one that is open, and the job on it, go on.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.fuel.f3.message import Message
from nvflare.private.defs import new_cell_message

from fedvoxel.errors import FedVoxelError
from fedvoxel.flare.certificate_messages import CERTIFICATE, CHANNEL, CROSS, LIST, ROOTS, TOPIC, content_of
from fedvoxel.flare.state_folder import workspace_of
from fedvoxel.governance.certificates import log_alarms
from fedvoxel.governance.fetched_list import take_up_list
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.governance.renewal import take_up
from fedvoxel.governance.rotation import take_up_roots

_logger = logging.getLogger(__name__)

ALARM_EVERY_S = 24 * 3600.0
_TIMEOUT_S = 10.0


class CertificateKeeper(FLComponent):
    """Keeps a site's certificate and revocation list up to date."""

    def __init__(self, interval_s: float = 60.0) -> None:
        """Takes how often to ask the server, in seconds (1 to 3600)."""
        super().__init__()
        if not 1 <= interval_s <= 3600:
            raise ValueError(f"interval_s: expected 1 to 3600 seconds, got {interval_s!r}")
        self.interval_s = interval_s

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Begins once the site is registered."""
        if event_type != EventType.AFTER_CLIENT_REGISTER:
            return
        client = fl_ctx.get_prop(FLContextKey.SITE_OBJ)
        folder = Path(workspace_of(fl_ctx).get_root_dir()).resolve()
        threading.Thread(target=self._keep, args=(client, folder), name="certificate_keeper", daemon=True).start()

    def _keep(self, client: Any, folder: Path) -> None:
        alarmed = -ALARM_EVERY_S
        while True:
            try:
                self._fetch(client, folder)
                if time.monotonic() - alarmed >= ALARM_EVERY_S:
                    log_alarms(open_kit(folder))
                    alarmed = time.monotonic()
            except Exception:
                _logger.exception("event=certificate_keeper_trouble")
            time.sleep(self.interval_s)

    def _fetch(self, client: Any, folder: Path) -> None:
        reply = client.cell.send_request(
            target=FQCN.ROOT_SERVER,
            channel=CHANNEL,
            topic=TOPIC,
            request=new_cell_message({}, None),
            timeout=_TIMEOUT_S,
            optional=True,
        )
        take_up_all(open_kit(folder), reply)


def take_up_all(kit: Kit, reply: Message) -> None:
    """Takes up what an answer of the server's holds; each part on its own, so that a bad one keeps no other away."""
    roots, cross = content_of(reply, ROOTS), content_of(reply, CROSS)
    renewed, crl = content_of(reply, CERTIFICATE), content_of(reply, LIST)
    steps: list[tuple[str, bytes, Callable[[], bool]]] = [
        ("certificate_renewed", renewed, lambda: take_up(kit, renewed)),
        ("roots_taken_up", roots, lambda: take_up_roots(kit, roots, cross)),
        ("revocation_list_taken_up", crl, lambda: take_up_list(kit, crl)),
    ]
    for event, content, take in steps:
        try:
            if content and take():
                _logger.info("event=%s", event)
        except FedVoxelError as error:
            _logger.warning("event=not_%s reason=%s", event, error)
