"""Takes what readers do to a picture: strokes, what is taken back, distances."""

from typing import Any, Literal, Self

from fastapi import APIRouter, Request
from pydantic import model_validator

from fedvoxel.evaluation.reading.planes import length_mm
from fedvoxel.evaluation.reading.stroke import Stroke
from fedvoxel.review.desk import Desk
from fedvoxel.review.events import Measured, Painted, Redone, Undone, Unmeasured
from fedvoxel.review.page_facts import edit_facts
from fedvoxel.review.visits import Activity, Visits


class Beginning(Activity):
    """Asks to begin a correction from a candidate."""

    candidate: str
    revision: int


class Edit(Activity):
    """Is an edit; `revision` is the number of edits that the page has seen."""

    revision: int
    action: Literal["paint", "undo", "redo"]
    stroke: Stroke | None = None

    @model_validator(mode="after")
    def _paints_a_stroke(self) -> Self:
        if (self.stroke is not None) != (self.action == "paint"):
            raise ValueError("expected a stroke where something is painted, and only there")
        return self

    @property
    def event(self) -> Painted | Undone | Redone:
        """Is the edit as it is kept."""
        if self.stroke is not None:
            return Painted(stroke=self.stroke)
        return Undone() if self.action == "undo" else Redone()


class Distance(Activity):
    """Is a distance on a slice."""

    plane: Literal["axial", "coronal", "sagittal"]
    index: int
    start: tuple[float, float]
    end: tuple[float, float]


class EditRoutes:
    """Holds what the addresses below /api/cases/CASE need that change a picture."""

    def __init__(self, desk: Desk, visits: Visits) -> None:
        """Takes the cases and the visits."""
        self._desk, self._visits = desk, visits

    def routes(self) -> APIRouter:
        """Returns the addresses."""
        routes = APIRouter(prefix="/api/cases/{case}")
        acts = (("begin", self.begin), ("edit", self.edit), ("measure", self.measure), ("unmeasure", self.unmeasure))
        for name, act in acts:
            routes.add_api_route(f"/{name}", act, methods=["POST"])
        return routes

    def begin(self, request: Request, case: str, body: Beginning) -> Any:
        """Begins a correction anew."""
        opened = self._desk.at(request.state.reader, case)
        self._visits.require(body, request.state.reader, case)
        opened.begin(body.candidate, body.revision)
        return edit_facts(opened)

    def edit(self, request: Request, case: str, body: Edit) -> Any:
        """Makes an edit and says where it was."""
        opened = self._desk.at(request.state.reader, case)
        self._visits.require(body, request.state.reader, case)
        stroke = opened.edit(body.event, body.revision)
        return {**edit_facts(opened), "plane": stroke.plane, "index": stroke.index}

    def measure(self, request: Request, case: str, body: Distance) -> Any:
        """Measures and keeps a distance; returns all of the case."""
        opened = self._desk.at(request.state.reader, case)
        self._visits.require(body, request.state.reader, case)
        plane = opened.shown.plane(body.plane, body.index)
        length = round(length_mm(plane, body.start, body.end), 2)
        opened.note(
            Measured(plane=body.plane, index=body.index, start=body.start, end=body.end, length_mm=length),
        )
        return [one.model_dump(mode="json") for one in opened.state.measured]

    def unmeasure(self, request: Request, case: str, body: Activity) -> Any:
        """Takes the last distance away and returns the others."""
        opened = self._desk.at(request.state.reader, case)
        self._visits.require(body, request.state.reader, case)
        opened.note(Unmeasured())
        return [one.model_dump(mode="json") for one in opened.state.measured]
