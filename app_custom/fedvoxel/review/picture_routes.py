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


def picture_routes(desk: Desk) -> APIRouter:
    """Returns the addresses below /api/cases/CASE that pictures have."""
    routes = APIRouter(prefix="/api/cases/{case}")

    @routes.get("/image/{plane}/{index}.png")
    def image(request: Request, case: str, plane: str, index: int, low: Number, high: Number) -> Response:
        shown = desk.at(request.state.reader, case).shown
        if not low < high:
            raise ReviewError("expected a window whose black is below its white")
        window = WindowPreset(name="asked", low=low, high=high)
        return _png(grey_png(slice_of(shown.image, shown.plane(plane, index), index), window))

    @routes.get("/uncertainty/{plane}/{index}.png")
    def uncertainty(request: Request, case: str, plane: str, index: int) -> Response:
        shown = desk.at(request.state.reader, case).shown
        if shown.uncertainty is None or desk.study.settings.blinded:
            raise ReviewError("this case has no map of uncertainty")
        return _png(heat_png(slice_of(shown.uncertainty, shown.plane(plane, index), index)))

    @routes.get("/label/{name}/{plane}/{index}")
    def label(request: Request, case: str, name: str, plane: str, index: int) -> Response:
        opened = desk.at(request.state.reader, case)
        return packed(opened.cut(name, opened.shown.plane(plane, index), index).tobytes())

    @routes.get("/volume/{name}.nii")
    def volume(request: Request, case: str, name: str) -> Response:
        opened = desk.at(request.state.reader, case)
        volumes = opened.shown.volumes
        voxels = volumes.image.voxels if name == "image" else opened.label(name)
        return packed(nifti_bytes(voxels, volumes.image.affine))

    return routes


def packed(content: bytes) -> Response:
    """Returns bytes, compressed for the way: label maps are mostly empty."""
    return Response(
        gzip.compress(content, _FAST, mtime=0),
        media_type="application/octet-stream",
        headers={"content-encoding": "gzip"},
    )


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png")
