"""Serves slices: grey pictures, label maps as bytes, heat maps, and whole volumes for the 3-D viewer."""

import gzip
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from fedvoxel.errors import ReviewError
from fedvoxel.evaluation.reading.planes import slice_of
from fedvoxel.evaluation.reading.slice_picture import grey_png, heat_png
from fedvoxel.evaluation.reading.windows import WindowPreset
from fedvoxel.review.desk import Desk
from fedvoxel.volumes.nifti_writer import nifti_bytes

_FAST = 1
Number = Annotated[float, Query(allow_inf_nan=False)]


class PictureRoutes:
    """Holds what the addresses of pictures need, below /api/cases/CASE."""

    def __init__(self, desk: Desk) -> None:
        """Takes the cases."""
        self._desk = desk

    def routes(self) -> APIRouter:
        """Returns the addresses."""
        routes = APIRouter(prefix="/api/cases/{case}")
        routes.add_api_route("/image/{plane}/{index}.png", self.image, methods=["GET"])
        routes.add_api_route("/uncertainty/{plane}/{index}.png", self.uncertainty, methods=["GET"])
        routes.add_api_route("/label/{name}/{plane}/{index}", self.label, methods=["GET"])
        routes.add_api_route("/volume/{name}.nii", self.volume, methods=["GET"])
        return routes

    def image(self, request: Request, case: str, plane: str, index: int, low: Number, high: Number) -> Response:
        """Returns a slice as a grey PNG, black at `low` and white at `high`."""
        shown = self._desk.at(request.state.reader, case).shown
        if not low < high:
            raise ReviewError("expected a window whose black is below its white")
        window = WindowPreset(name="asked", low=low, high=high)
        return _png(grey_png(slice_of(shown.image, shown.plane(plane, index), index), window))

    def uncertainty(self, request: Request, case: str, plane: str, index: int) -> Response:
        """Returns a slice of the uncertainty as a coloured PNG; to a blinded reader none."""
        shown = self._desk.at(request.state.reader, case).shown
        found = None if self._desk.study.settings.blinded else shown.uncertainty()
        if found is None:
            raise ReviewError("this case has no map of uncertainty")
        return _png(heat_png(slice_of(found, shown.plane(plane, index), index)))

    def label(self, request: Request, case: str, name: str, plane: str, index: int) -> Response:
        """Returns a slice of a label map: a byte for each voxel, row by row."""
        opened = self._desk.at(request.state.reader, case)
        return _packed(opened.cut(name, opened.shown.plane(plane, index), index).tobytes())

    def volume(self, request: Request, case: str, name: str) -> Response:
        """Returns the scan or a label map as a NIfTI file."""
        opened = self._desk.at(request.state.reader, case)
        image = opened.shown.volumes.image
        return _packed(nifti_bytes(image.voxels if name == "image" else opened.label(name), image.affine))


def _packed(content: bytes) -> Response:
    """Returns bytes, compressed for the way: label maps are mostly empty."""
    packed = gzip.compress(content, _FAST, mtime=0)
    return Response(packed, media_type="application/octet-stream", headers={"content-encoding": "gzip"})


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png")
