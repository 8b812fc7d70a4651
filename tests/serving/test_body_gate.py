"""A body that has no room is turned away before it is read."""

import asyncio
import json
from typing import Any

import pytest

from fedvoxel.serving.body_gate import MOST_JSON_BYTES, BodyGate

MOST = 2 * MOST_JSON_BYTES


class Application:
    """Waits until it may answer, and counts who asked."""

    def __init__(self) -> None:
        self.asked, self.may_answer = 0, asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        await self.may_answer.wait()
        if scope.get("fails"):
            raise RuntimeError
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def ask(gate: BodyGate, *headers: tuple[str, str], method: str = "POST", **scope: Any) -> tuple[int, str]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the body was read")

    encoded = [(name.encode(), value.encode()) for name, value in headers]
    await gate({"type": "http", "method": method, "headers": encoded, **scope}, receive, send)
    text = json.loads(sent[1]["body"])["error"] if len(sent) > 1 else ""
    return sent[0]["status"], text


JSON = ("content-type", "application/json; charset=utf-8")
RAW = ("content-type", "application/octet-stream")


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ([RAW, ("Content-Length", str(MOST))], 200, ""),
        ([JSON, ("content-length", str(MOST_JSON_BYTES))], 200, ""),
        ([RAW], 200, ""),
        ([RAW, ("content-length", str(MOST + 1))], 413, "too_large_for_memory: "),
        ([JSON, ("content-length", str(MOST_JSON_BYTES + 1))], 413, "too_large_for_json: "),
        ([RAW, ("transfer-encoding", "chunked")], 411, "no_length: "),
        ([RAW, ("content-length", "-5")], 411, "no_length: "),
        ([RAW, ("content-length", "٣")], 411, "no_length: "),
        ([RAW, ("content-length", "9" * 5000)], 411, "no_length: "),
    ],
)
def test_a_body_is_let_in_by_its_length(headers: list[tuple[str, str]], status: int, said: str) -> None:
    async def check() -> None:
        application = Application()
        application.may_answer.set()
        found, text = await ask(BodyGate(application, MOST), *headers)
        assert found == status and text.startswith(said) and application.asked == (status == 200)

    asyncio.run(check())


def test_bodies_that_wait_take_room_until_they_are_answered() -> None:
    async def check() -> None:
        application = Application()
        gate = BodyGate(application, 100)
        first = asyncio.create_task(ask(gate, RAW, ("content-length", "60")))
        failing = asyncio.create_task(ask(gate, RAW, ("content-length", "30"), fails=True))
        await asyncio.sleep(0)
        status, text = await ask(gate, RAW, ("content-length", "11"))
        assert status == 503 and text.startswith("busy: ") and application.asked == 2
        health = asyncio.create_task(ask(gate, method="GET"))
        await asyncio.sleep(0)
        assert application.asked == 3
        application.may_answer.set()
        assert (await first)[0] == (await health)[0] == 200
        with pytest.raises(RuntimeError):
            await failing
        assert (await ask(gate, RAW, ("content-length", "100")))[0] == 200

    asyncio.run(check())
