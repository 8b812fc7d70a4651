"""Answers what pages ask for, and takes what readers do: JSON in, JSON out."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.reading.planes import length_mm
from fedvoxel.evaluation.reading.stroke import Stroke
from fedvoxel.review.answering import answer
from fedvoxel.review.desk import Desk
from fedvoxel.review.events import (
    Draft,
    Drafted,
    Measured,
    Painted,
    Redone,
    Said,
    Spent,
    Undone,
    Unmeasured,
    Visited,
    VisitId,
)
from fedvoxel.review.page_facts import case_facts, edit_facts, reading_facts, structure_facts
from fedvoxel.review.visits import Visits

_Seconds = Annotated[float, Field(ge=0, le=10_000_000)]


class Activity(FrozenModel):
    """Says for how long a visit has been active; goes with everything that a page sends."""

    visit: VisitId
    active_s: _Seconds


class Beginning(Activity):
    """Asks to begin a correction from a candidate."""

    candidate: str
    revision: int


class Edit(Activity):
    """Is an edit; `revision` is the number of edits that the page has seen."""

    revision: int
    action: Literal["paint", "undo", "redo"]
    stroke: Stroke | None = None


class Distance(Activity):
    """Is a distance on a slice."""

    plane: Literal["axial", "coronal", "sagittal"]
    index: int
    start: tuple[float, float]
    end: tuple[float, float]


class Drafting(Activity):
    """Is what stands in the form."""

    draft: Draft


class Answering(Activity):
    """Is the answer to a case."""

    said: Said


def reading_routes(desk: Desk) -> APIRouter:
    """Returns the addresses below /api."""
    routes = APIRouter(prefix="/api")
    visits = Visits()

    def active(request: Request, case: str, activity: Activity) -> None:
        """Notes the time that came with a request."""
        reader = request.state.reader
        seconds = visits.active_s(activity.visit, reader, case, activity.active_s)
        opened = desk.at(reader, case)
        if seconds > opened.state.visits.get(activity.visit, 0.0):
            opened.note(Spent(visit=activity.visit, active_s=seconds))

    @routes.get("/reading")
    def reading(request: Request) -> Any:
        return reading_facts(desk, request.state.reader)

    @routes.get("/cases/{case}/structures")
    def structures(case: str) -> Any:
        return {"structures": structure_facts(desk)}

    @routes.post("/cases/{case}/visit")
    def visit(request: Request, case: str) -> Any:
        reader = request.state.reader
        opened = desk.reopen(reader, case)
        name = visits.begin(reader, case)
        opened.note(Visited(visit=name))
        desk.prefetch_after(reader, case)
        return {"visit": name, **case_facts(desk, reader, case)}

    @routes.post("/cases/{case}/time")
    def time(request: Request, case: str, body: Activity) -> Any:
        active(request, case, body)
        return {}

    @routes.post("/cases/{case}/begin")
    def begin(request: Request, case: str, body: Beginning) -> Any:
        active(request, case, body)
        opened = desk.at(request.state.reader, case)
        opened.begin(body.candidate, body.revision)
        return edit_facts(opened)

    @routes.post("/cases/{case}/edit")
    def edit(request: Request, case: str, body: Edit) -> Any:
        opened = desk.at(request.state.reader, case)
        changes = {"undo": Undone(), "redo": Redone()}
        change = Painted.model_validate({"stroke": body.stroke}) if body.action == "paint" else changes[body.action]
        stroke = opened.edit(change, body.revision)
        return {**edit_facts(opened), "plane": stroke.plane, "index": stroke.index}

    @routes.post("/cases/{case}/measure")
    def measure(request: Request, case: str, body: Distance) -> Any:
        opened = desk.at(request.state.reader, case)
        plane = opened.shown.plane(body.plane, body.index)
        length = round(length_mm(plane, body.start, body.end), 2)
        opened.note(Measured(**body.model_dump(exclude={"visit", "active_s"}), length_mm=length))
        return [one.model_dump(mode="json") for one in opened.state.measured]

    @routes.post("/cases/{case}/unmeasure")
    def unmeasure(request: Request, case: str, body: Activity) -> Any:
        opened = desk.at(request.state.reader, case)
        opened.note(Unmeasured())
        return [one.model_dump(mode="json") for one in opened.state.measured]

    @routes.post("/cases/{case}/draft")
    def draft(request: Request, case: str, body: Drafting) -> Any:
        active(request, case, body)
        desk.at(request.state.reader, case).note(Drafted(draft=body.draft))
        return {}

    @routes.post("/cases/{case}/answer")
    def answering(request: Request, case: str, body: Answering) -> Any:
        active(request, case, body)
        reader = request.state.reader
        answer(desk.at(reader, case), desk.record(reader, case), body.said)
        return reading_facts(desk, reader)

    return routes
