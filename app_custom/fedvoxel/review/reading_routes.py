"""Answers what pages ask for, and takes what readers say: the worklist, a visit, its time, the form, the answer."""

from typing import Any

from fastapi import APIRouter, Request

from fedvoxel.review.answering import answer
from fedvoxel.review.desk import Desk
from fedvoxel.review.events import Draft, Drafted, Said, Visited
from fedvoxel.review.page_facts import case_facts, reading_facts, structure_facts
from fedvoxel.review.visits import Activity, Visits


class Drafting(Activity):
    """Is what stands in the form."""

    draft: Draft


class Answering(Activity):
    """Is the answer to a case."""

    said: Said


class ReadingRoutes:
    """Holds what the addresses below /api need."""

    def __init__(self, desk: Desk, visits: Visits) -> None:
        """Takes the cases and the visits."""
        self._desk, self._visits = desk, visits

    def routes(self) -> APIRouter:
        """Returns the addresses."""
        routes = APIRouter(prefix="/api")
        routes.add_api_route("/reading", self.reading, methods=["GET"])
        routes.add_api_route("/cases/{case}/structures", self.structures, methods=["GET"])
        for name, act in (("visit", self.visit), ("time", self.time), ("draft", self.draft), ("answer", self.answer)):
            routes.add_api_route(f"/cases/{{case}}/{name}", act, methods=["POST"])
        return routes

    def reading(self, request: Request) -> Any:
        """Returns the reader's worklist."""
        return reading_facts(self._desk, request.state.reader)

    def structures(self, case: str) -> Any:
        """Returns the structures with their colours."""
        return {"structures": structure_facts(self._desk)}

    def visit(self, request: Request, case: str) -> Any:
        """Opens a case, as its record now says, and begins a visit."""
        reader = request.state.reader
        opened = self._desk.reopen(reader, case)
        name = self._visits.begin(reader, case)
        opened.note(Visited(visit=name, read_from=opened.shown.volumes.read_from))
        self._desk.prefetch_after(reader, case)
        return {"visit": name, **case_facts(self._desk, reader, case)}

    def time(self, request: Request, case: str, body: Activity) -> Any:
        """Notes for how long the visit has been active."""
        opened = self._desk.at(request.state.reader, case)
        self._visits.note(opened, request.state.reader, case, body)
        return {}

    def draft(self, request: Request, case: str, body: Drafting) -> Any:
        """Keeps what stands in the form."""
        opened = self._desk.at(request.state.reader, case)
        opened.require_changeable()
        self._visits.note(opened, request.state.reader, case, body)
        opened.note(Drafted(draft=body.draft))
        return {}

    def answer(self, request: Request, case: str, body: Answering) -> Any:
        """Keeps the answer and returns the worklist."""
        reader = request.state.reader
        opened = self._desk.at(reader, case)
        self._visits.note(opened, reader, case, body)
        answer(opened, self._desk.record(reader, case), body.said, self._desk.reading)
        return reading_facts(self._desk, reader)
