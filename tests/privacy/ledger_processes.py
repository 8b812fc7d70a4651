"""Processes that use a ledger and are killed, or that race for the last of a budget.

Each function runs in a process of its own, which has loaded the accountant once and forks a child for every try, and
prints what came of it as JSON.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from fedvoxel.errors import FedVoxelError
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.policy import CohortBudget
from fedvoxel.privacy.spending import planned_epsilon
from fedvoxel.records.chain import Chain

BUDGET = CohortBudget(unit="patient", epsilon=8, delta=1e-3)
STEPPED_FILES = ("/records/chain.py", "/records/atomic.py", "/privacy/ledger.py", "/privacy/kept_bytes.py")
STEPPED = {"_make_folder", "_write_after", "append", "write_head", "write", "write_bytes", "sync_folder"}
STEPPED |= {"reserve", "keep", "bytes_to_send"}
COHORT, RUN = "hippocampus", "run"


def plan_of(draws: int, noise_multiplier: float = 1000.0, delta: float = 5e-4) -> RunPlan:
    event = GaussianEvent(noise_multiplier=noise_multiplier, sampling_probability=1, count=1)
    return RunPlan(unit="patient", event=event, draws=draws, delta=delta)


def ledger_in(folder: Path) -> Ledger:
    return Ledger(folder, COHORT, BUDGET)


def forked(work: Callable[[int], int | None]) -> tuple[int, int]:
    """Starts a child that does `work` with the writing end of a pipe; returns its process id and the reading end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.close(reading)
            code = work(writing) or 0
        finally:
            os._exit(code)
    os.close(writing)
    return child, reading


def said(reading: int) -> list[list[str]]:
    """Returns what a child wrote before its end, in words by line; a line is written at once."""
    with os.fdopen(reading) as stream:
        return [line.split() for line in stream]


def release_round(ledger: Ledger, plan: RunPlan, round_index: int, pipe: int) -> None:
    """Does what a site does for one round, and tells each step as soon as it has happened."""

    def tell(*words: str) -> None:
        os.write(pipe, (" ".join(words) + "\n").encode())

    release_id = ledger.kept(RUN, round_index, plan)
    if release_id is None:
        reservation = ledger.reserve(RUN, "job", round_index, plan)
        tell("drawn", reservation.release_id, str(round_index))
        content = os.urandom(1000)
        ledger.keep(reservation, content)
        tell("kept", reservation.release_id, hashlib.sha256(content).hexdigest())
        release_id = reservation.release_id
    tell("sent", release_id, hashlib.sha256(ledger.bytes_to_send(release_id)).hexdigest())


def contradictions(folder: Path, told: list[list[str]]) -> list[str]:
    """Returns what a killed process told and the ledger does not bear out; empty if all is well."""
    ledger_in(folder).verify()
    bodies = [entry.body for entry in Chain(folder / COHORT / "ledger.jsonl").read()]
    at: dict[tuple[str, str], int] = {}
    for index, body in enumerate(bodies):
        at.setdefault((body["kind"], body.get("release_id", "")), index)
    found = []
    hashes = {body["release_id"]: body["sha256"] for body in bodies if body["kind"] == "kept"}
    for what, release_id, detail in told:
        needed = {"drawn": ["reserved"], "kept": ["reserved", "kept"], "sent": ["reserved", "kept", "sent"]}[what]
        places = [at.get((kind, release_id), -1) for kind in needed]
        if -1 in places or places != sorted(places):
            found.append(f"{what} {release_id}: entries at {places}")
        if what != "drawn" and hashes.get(release_id) != detail:
            found.append(f"{what} {release_id}: other bytes")
    charged = sum(run.drawn for run in ledger_in(folder).status().runs)
    drawn = sum(words[0] == "drawn" for words in told)
    return found + ([f"{drawn} drawn, {charged} charged"] if charged < drawn else [])


def die_after(lines: int) -> None:
    """Makes this process kill itself before it runs one more than `lines` lines of the functions that write."""
    left = lines

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_name not in STEPPED or not frame.f_code.co_filename.endswith(STEPPED_FILES):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def kill_at_every_line(folder: Path) -> None:
    """Kills a round before each line that it runs, then does the round again, which must find everything in order."""
    plan, tries, redrawn, wrong = plan_of(3), 0, 0, []
    planned_epsilon(plan)
    killed = True
    while killed:
        place = folder / str(tries)

        def work(pipe: int, place: Path = place, lines: int = tries) -> None:
            die_after(lines)
            release_round(ledger_in(place), plan, 0, pipe)
            sys.settrace(None)

        child, reading = forked(work)
        told = said(reading)
        killed = os.waitpid(child, 0)[1] == signal.SIGKILL
        wrong += contradictions(place, told)
        again, words = os.pipe()
        release_round(ledger_in(place), plan, 0, words)
        os.close(words)
        told += said(again)
        wrong += contradictions(place, told)
        (run,) = ledger_in(place).status().runs
        redrawn += run.drawn == 2
        if run.drawn > 2 or run.kept != 1 or told[-1][0] != "sent":
            wrong.append(f"try {tries}: {run.drawn} drawn, {run.kept} kept, {told}")
        tries += 1
    sys.stdout.write(json.dumps({"tries": tries, "redrawn": redrawn, "wrong": wrong}))


def kill_at_any_time(folder: Path) -> None:
    """Kills a process that does one round after the other, again and again, on one ledger."""
    plan, told, wrong, randomness = plan_of(9000), [], [], random.Random(5)
    planned_epsilon(plan)

    for attempt in range(20):

        def work(pipe: int, first: int = attempt) -> None:
            for round_index in range(first, 1000):
                release_round(ledger_in(folder), plan, round_index, pipe)

        child, reading = forked(work)
        heard, lines = b"", randomness.randrange(1, 8)
        while heard.count(b"\n") < lines:
            heard += os.read(reading, 65536) or b"the child ended\n"
        time.sleep(randomness.uniform(0, 0.005))
        os.kill(child, signal.SIGKILL)
        told += [line.split() for line in heard.decode().splitlines()] + said(reading)
        os.waitpid(child, 0)
        wrong += contradictions(folder, told)
    sent = {words[1] for words in told if words[0] == "sent"}
    sys.stdout.write(json.dumps({"sent": len(sent), "wrong": wrong}))


def race(folder: Path, what: str) -> None:
    """Lets two processes reserve at the same moment where there is room for one; prints the pairs of exit codes."""
    plan = plan_of(1, noise_multiplier=0.8) if what == "budget" else plan_of(2)
    codes = []
    for number in range(12):
        place = folder / str(number)
        if what == "draw":
            ledger_in(place).reserve(RUN, "job", 0, plan)
        planned_epsilon(plan)
        start_reading, start_writing = os.pipe()

        def work(_: int, place: Path = place, start: int = start_reading, other: int = start_writing) -> int:
            os.close(other)
            run_key = RUN if what == "draw" else f"run-{os.getpid()}"
            os.read(start, 1)
            try:
                ledger_in(place).reserve(run_key, "job", 1, plan)
            except FedVoxelError as error:
                return error.exit_code
            return 0

        children = [forked(work) for _ in range(2)]
        os.close(start_writing)
        codes.append(sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child, _ in children))
        for descriptor in (start_reading, *(reading for _, reading in children)):
            os.close(descriptor)
        ledger_in(place).verify()
    sys.stdout.write(json.dumps({"codes": codes, "epsilon": planned_epsilon(plan)}))
