"""What a job's process is told of its sites by the server's parent process: who has a new token, and who is back."""

from typing import Any

from nvflare.apis.fl_context import FLContext

from fedvoxel.flare.messages import SITE_CONNECTED, SITES_CHANGED


class JobSites:
    """Listens for both.

    Attributes:
        connected: The sites that have connected since the job was offered to those that were there.
    """

    def __init__(self) -> None:
        """Knows of none."""
        self.connected: set[str] = set()
        self._engine: Any = None

    def listen(self, engine: Any) -> None:
        """Begins to listen; `engine` is the job process's own."""
        self._engine = engine
        engine.register_app_command(SITES_CHANGED, self._know_again)
        engine.register_app_command(SITE_CONNECTED, self._note)

    def _know_again(self, topic: str, data: Any, fl_ctx: FLContext) -> dict[str, list[str]]:
        """Asks the parent process for the job's sites: one that was restarted has a new token."""
        self._engine.sync_clients_from_main_process()
        return {"sites": sorted(client.name for client in self._engine.get_clients())}

    def _note(self, topic: str, data: Any, fl_ctx: FLContext) -> dict[str, Any]:
        self.connected.add(str(data.get("site")) if isinstance(data, dict) else "")
        return {}
