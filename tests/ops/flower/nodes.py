"""A federation of Flower nodes in one process: Flower's messages, ClientApps and strategies; no SuperLink."""

import random
from collections.abc import Iterable, Mapping
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity


class Nodes(Grid):
    """Hands each message to its node's app; replies come in an order of chance."""

    def __init__(self, apps: Mapping[int, ClientApp], told: Mapping[int, Mapping[str, str]], seed: int = 0) -> None:
        self._apps, self._random = dict(apps), random.Random(seed)
        self._contexts = {node: Context(1, node, dict(told.get(node, {})), RecordDict(), {}) for node in apps}
        self.errors: list[str] = []

    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return list(self._apps)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        replies = [self._reply(message) for message in messages]
        self._random.shuffle(replies)
        return replies

    def _reply(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        TaskIdentity.node_id = node
        try:
            return self._apps[node](message, self._contexts[node])
        except Exception as error:  # as Flower's own run_clientapp does: the error's text goes to the server
            self.errors.append(f"{type(error)}:<'{error}'>")
            return Message(Error(code=0, reason=self.errors[-1]), reply_to=message)
        finally:
            TaskIdentity.node_id = 0


def begin() -> None:
    """Says who sends messages: the server, in this process."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
