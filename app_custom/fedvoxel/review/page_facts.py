"""What the pages are told of the worklist, a case, a correction. A blinded reader is told nothing that unblinds."""

from dataclasses import asdict
from typing import Any

from fedvoxel.evaluation.reading.slice_picture import HEAT
from fedvoxel.review.desk import Desk
from fedvoxel.review.events import ERROR_TYPES
from fedvoxel.review.open_case import OpenCase
from fedvoxel.review.reading import CORRECTED, CaseVolumes
from fedvoxel.review.viewer_package import installed_viewer


def reading_facts(desk: Desk, reader: str) -> dict[str, Any]:
    """Returns the worklist of a reader: own answers only."""
    settings = desk.study.settings
    cases = [_listed(desk, reader, case) for case in desk.study.order(reader)]
    return {
        "title": "Blinded reading" if settings.blinded else settings.title,
        "reader": reader,
        "remarks": [] if settings.blinded else list(desk.reading.remarks),
        "blinded": settings.blinded,
        "several": any(len(names) > 1 for names in settings.cases.values()),
        "done": sum(case["status"] == "done" for case in cases),
        "cases": cases,
    }


def case_facts(desk: Desk, reader: str, case: str) -> dict[str, Any]:
    """Returns what the page of a case needs to show it."""
    opened, settings = desk.at(reader, case), desk.study.settings
    shown, state = opened.shown, opened.state
    candidates = list(opened.terms.candidates)
    return {
        "case": case,
        "examination": None if settings.blinded else desk.reading.case(case).examination,
        "reader": reader,
        "blinded": settings.blinded,
        "order": list(desk.study.order(reader)),
        "structures": structure_facts(desk),
        "planes": {name: asdict(plane) for name, plane in shown.planes.items()},
        "spacing_mm": [round(size, 3) for size in shown.volumes.image.spacing_mm],
        "presets": [preset.model_dump() for preset in shown.presets],
        "candidates": candidates,
        "volumes_ml": {name: opened.volumes_ml(name) for name in candidates},
        "largest": {name: shown.facts[which].largest for name, which in opened.terms.candidates.items()},
        "uncertainty": shown.volumes.uncertainty is not None and not settings.blinded,
        "heat": [list(colour) for _, colour in HEAT],
        "error_types": ERROR_TYPES,
        "remarks": _remarks(desk, shown.volumes),
        "viewer": installed_viewer() is not None,
        "measured": [one.model_dump(mode="json") for one in state.measured],
        "active_s": state.active_s,
        "final": opened.is_final,
        "draft": state.draft.model_dump(mode="json") if state.draft else None,
        "answered": state.answer is not None,
        "edit": edit_facts(opened),
    }


def structure_facts(desk: Desk) -> list[dict[str, Any]]:
    """Returns the structures with their codes and colours."""
    return [
        {"code": code, "label": one.label, "colour": list(one.colour_rgb)}
        for code, one in enumerate(desk.reading.structures, start=1)
    ]


def edit_facts(opened: OpenCase) -> dict[str, Any]:
    """Returns how far the correction is."""
    correction = opened.correction
    if correction is None:
        return {
            "revision": opened.state.revision,
            "base": None,
            "changed": False,
            "can_undo": False,
            "can_redo": False,
            "volumes_ml": None,
        }
    return {
        "revision": opened.state.revision,
        "base": opened.base,
        "changed": opened.is_changed,
        "can_undo": correction.can_undo,
        "can_redo": correction.can_redo,
        "volumes_ml": opened.volumes_ml(CORRECTED),
    }


def _remarks(desk: Desk, volumes: CaseVolumes) -> list[str]:
    """Returns what the reader must know; of the images only, where more would tell which label map is the model's."""
    if desk.study.settings.blinded:
        return list(volumes.remarks)
    return [*desk.reading.remarks, *volumes.remarks, *volumes.of_model]


def _listed(desk: Desk, reader: str, case: str) -> dict[str, Any]:
    state, source = desk.record(reader, case).read(), desk.reading.case(case)
    judgements = state.answer.said.judgements if state.answer else ()
    named = {which: name for name, which in desk.study.shown_candidates(case).items()}
    return {
        "case": case,
        "examination": None if desk.study.settings.blinded else source.examination,
        "status": state.status,
        "waiting": source.waiting,
        "verdicts": {named[one.candidate]: one.verdict for one in judgements},
        "ratings": {named[one.candidate]: one.rating for one in judgements},
        "active_s": round(state.active_s, 1),
        "answered_at": state.answered_at,
    }
