"""Keeps the sites' session tokens out of what the console tells people: FLARE's `check_status server` lists them."""

from collections.abc import Callable, Collection
from typing import Any

from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.server.reg import CommandFilter

HIDDEN = "hidden"


class HiddenTokens(CommandFilter):
    """Puts a word in the place of every site's token in every reply, whichever command gives it."""

    def __init__(self, tokens: Callable[[], Collection[str]]) -> None:
        """Takes what returns the tokens that are in force."""
        super().__init__()
        self._tokens = tokens

    def post_command(self, conn: Connection, args: list[str]) -> bool:
        """Changes the reply in place, before FLARE sends it."""
        tokens = [token for token in self._tokens() if token]
        reply = conn.buffer
        reply.data[:] = _without(tokens, reply.data)
        hidden = _without(tokens, reply.meta)
        reply.meta.clear()
        reply.meta.update(hidden)
        return True


def _without(tokens: list[str], value: Any) -> Any:
    if isinstance(value, str):
        for token in tokens:
            value = value.replace(token, HIDDEN)
        return value
    if isinstance(value, dict):
        return {key: _without(tokens, item) for key, item in value.items()}
    return [_without(tokens, item) for item in value] if isinstance(value, list | tuple) else value
