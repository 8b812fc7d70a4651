"""A folder to be read: small scans with two label maps and a map of uncertainty, made here."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import httpx
import numpy as np
import uvicorn

from fedvoxel.review.access import Access
from fedvoxel.review.app import make_app
from fedvoxel.review.desk import Desk
from fedvoxel.review.gate import WayIn
from fedvoxel.review.links import Links
from fedvoxel.review.reading_folder import READING_FILE, open_reading_folder
from fedvoxel.review.server import listening, uvicorn_settings
from fedvoxel.review.study import open_study, settings_of
from fedvoxel.volumes.nifti_writer import write_nifti
from tests.evaluation.reading.scans import affine_of

SHAPE = (40, 48, 24)
CODES = "LPS"
SPACING_MM = (1.0, 1.0, 2.5)


def structure(name: str, colour: tuple[int, int, int]) -> dict[str, Any]:
    code = {"scheme": "SCT", "value": "85756007", "meaning": "Tissue"}
    return {"name": name, "label": name.capitalize(), "category": code, "type": code, "colour_rgb": colour}


def ball(centre: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    places = np.stack(np.meshgrid(*(np.arange(size) for size in SHAPE), indexing="ij"), axis=-1)
    return np.asarray(np.linalg.norm((places - centre) * SPACING_MM, axis=-1) <= radius_mm)


def write_reading(folder: Path, cases: int = 3) -> Path:
    """Writes `cases` cases; the first candidate of each is a little off."""
    listed = []
    for number in range(cases):
        name = f"case-{number:012x}"
        place = folder / name
        place.mkdir(parents=True)
        organ = ball((20, 24, 12), 14.0)
        manual = organ.astype(np.uint8)
        manual[ball((22 + number, 26, 12), 5.0)] = 2
        model = np.roll(manual, 2, axis=0)
        image = np.random.default_rng(number).normal(0, 8, SHAPE).astype(np.float32) + 100 * organ + 60 * (manual == 2)
        unsure = np.clip(np.abs(manual.astype(np.float32) - model), 0, 1)
        affine = affine_of(CODES, spacing_mm=SPACING_MM)
        for what, voxels in (("image", image), ("manual", manual), ("model", model), ("unsure", unsure)):
            write_nifti(place / f"{what}.nii.gz", voxels, affine)
        listed.append(
            {
                "case": name,
                "image": f"{name}/image.nii.gz",
                "labels": {"model": f"{name}/model.nii.gz", "manual": f"{name}/manual.nii.gz"},
                "uncertainty": f"{name}/unsure.nii.gz",
                "modality": "MR",
            }
        )
    structures = [structure("organ", (255, 170, 60)), structure("lesion", (90, 190, 255))]
    values = {"schema_version": 1, "title": "Sample", "structures": structures, "cases": listed}
    (folder / READING_FILE).write_text(json.dumps(values))
    return folder


def desk_of(folder: Path, study: Path, readers: tuple[str, ...] = ("anna",), blinded: bool = False) -> Desk:
    reading = open_reading_folder(folder)
    return Desk(reading, open_study(study, settings_of(reading, readers, blinded, seed=7)))


class Page:
    """Asks a server of its own as a reader's browser would, over a real connection."""

    opened: ClassVar[list["Page"]] = []

    def __init__(
        self, desk: Desk, reader: str | None = "anna", way: Callable[[int], WayIn] = lambda port: Links(Access(), port)
    ) -> None:
        self._listening = listening(0)
        self._listener = self._listening.__enter__()
        self.port = self._listener.getsockname()[1]
        self.host = f"http://127.0.0.1:{self.port}"
        self.way = way(self.port)
        self.access = self.way.access
        self._server = uvicorn.Server(uvicorn.Config(make_app(desk, self.way), **uvicorn_settings()))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})
        self._thread.start()
        self.client = httpx.Client(base_url=self.host, timeout=60.0)
        Page.opened.append(self)
        if reader is not None:
            self.enter(reader)

    def close(self) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join()
        self._listening.__exit__(None, None, None)

    def enter(self, reader: str) -> None:
        self.client.get(f"/enter?token={self.access.invite(reader)}")

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.client.post(path, json=body or {}, headers={"origin": self.host, **headers})

    def visit(self, case: str) -> dict[str, Any]:
        answer = self.post(f"/api/cases/{case}/visit")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def edit(self, case: str, facts: dict[str, Any], revision: int, **what: Any) -> httpx.Response:
        body = {"visit": facts["visit"], "active_s": 1.0, "revision": revision, **what}
        return self.post(f"/api/cases/{case}/edit", body)


def stroke(**changes: Any) -> dict[str, Any]:
    return {"plane": "axial", "index": 12, "points": [[10.5, 10.5]], "radius_mm": 3.0, "code": 1, **changes}


def said(**verdicts: str) -> dict[str, Any]:
    judgements = [{"candidate": name, "verdict": verdict, "rating": 4} for name, verdict in verdicts.items()]
    return {"judgements": judgements, "preferred": None, "note": ""}
