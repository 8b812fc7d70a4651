"""A brush paints the voxels that it passes over, in every plane, and every stroke can be taken back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvoxel.evaluation.reading.correction import Correction
from fedvoxel.evaluation.reading.label_facts import label_facts
from fedvoxel.evaluation.reading.planes import displayed, planes_of, slice_of
from fedvoxel.evaluation.reading.stroke import Stroke, paint
from fedvoxel.volumes.volume import Volume
from tests.evaluation.reading.scans import affine_of, scan


def correction_of(volume: Volume, label: np.ndarray) -> Correction:
    planes = {plane.name: plane for plane in planes_of(volume)}
    return Correction(label, volume.affine, planes, label_facts(displayed(label, volume.affine), planes).counts)


def stroke(plane: str = "axial", **changes: object) -> Stroke:
    values = {"plane": plane, "index": 2, "points": [(3.5, 3.5)], "radius_mm": 1.6, "code": 1} | changes
    return Stroke.model_validate(values)


@pytest.mark.parametrize("plane_name", ["axial", "coronal", "sagittal"])
def test_a_stroke_covers_what_a_slow_reference_covers(plane_name: str) -> None:
    affine = affine_of("LPS", spacing_mm=(0.7, 1.1, 2.5))
    affine[0, 2] = 0.9  # axes that are not at right angles
    plane = next(plane for plane in planes_of(Volume(scan().voxels, affine)) if plane.name == plane_name)
    drawn = stroke(plane_name, points=[(0.4, 0.2), (3.1, 2.9), (5.5, 0.5)], radius_mm=1.7)
    cut = np.zeros((plane.rows, plane.columns), dtype=np.uint8)
    paint(cut, plane, drawn)
    a, b, c = plane.metric_mm2
    dense = np.concatenate(
        [np.linspace(start, end, 400) for start, end in zip(drawn.points[:-1], drawn.points[1:], strict=True)]
    )
    for row, column in np.ndindex(cut.shape):
        across, down = column + 0.5 - dense[:, 0], row + 0.5 - dense[:, 1]
        least = np.sqrt((a * across**2 + 2 * b * across * down + c * down**2).min())
        under = any((int(x), int(y)) == (column, row) for x, y in drawn.points)
        if abs(least - 1.7) > 0.01:
            assert bool(cut[row, column]) == (least < 1.7 or under)


def test_the_voxel_under_a_tiny_brush_counts_and_nothing_outside_the_slice() -> None:
    plane = planes_of(scan())[0]
    cut = np.zeros((plane.rows, plane.columns), dtype=np.uint8)
    paint(cut, plane, stroke(points=[(2.1, 4.9), (-3.0, -3.0), (40.0, 2.0)][:1], radius_mm=0.1))
    assert np.argwhere(cut).tolist() == [[4, 2]]
    paint(cut, plane, stroke(points=[(-30.0, -3.0), (40.0, -2.5)], radius_mm=0.4))
    assert np.count_nonzero(cut) == 1


@given(st.lists(st.integers(0, 7), max_size=12))
def test_what_is_changed_is_counted_as_comparing_every_voxel_counts_it(acts: list[int]) -> None:
    volume = scan("RAS")
    label = (np.arange(volume.voxels.size).reshape(volume.shape) % 3).astype(np.uint8)
    correction = correction_of(volume, label)
    for act in acts:
        if act == 6 and correction.can_undo:
            correction.undo()
        elif act == 7 and correction.can_redo:
            correction.redo()
        else:
            plane = ("axial", "coronal", "sagittal")[act % 3]
            correction.paint(stroke(plane, code=1 + act % 2, erase=act > 3))
        assert correction.changed == np.count_nonzero(correction.label != label)


def test_the_eraser_takes_its_own_structure_only() -> None:
    volume = scan("LPS")
    label = np.ones(volume.shape, dtype=np.uint8)
    label[:, :, 2] = 2
    correction = correction_of(volume, label)
    correction.paint(stroke("coronal", index=3, points=[(0.0, 0.0), (9.0, 5.0)], radius_mm=9.0, code=1, erase=True))
    assert np.array_equal(correction.label == 2, label == 2)
    cut = slice_of(correction.shown, planes_of(volume)[1], 3)
    assert set(np.unique(cut)) == {0, 2}
    assert np.array_equal(label, np.where(label == 2, 2, 1)), "what was read is never changed"


strokes = st.lists(
    st.builds(
        stroke,
        st.sampled_from(["axial", "coronal", "sagittal"]),
        index=st.integers(0, 4),
        points=st.lists(st.tuples(st.floats(-2, 9), st.floats(-2, 9)), min_size=1, max_size=4),
        radius_mm=st.floats(0.1, 6),
        code=st.integers(1, 3),
        erase=st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@given(strokes, st.integers(0, 8))
def test_undo_and_redo_lead_through_the_same_label_maps(drawn: list[Stroke], back: int) -> None:
    volume = scan("PSR", spacing_mm=(1.0, 2.0, 0.5))
    start = np.random.default_rng(1).integers(0, 3, volume.shape).astype(np.uint8)
    correction = correction_of(volume, start)
    states = [correction.label.copy()]
    for one in drawn:
        correction.paint(one)
        states.append(correction.label.copy())
    back = min(back, len(drawn))
    for which in range(back):
        assert correction.undo() == drawn[-1 - which]
        assert np.array_equal(correction.label, states[-2 - which])
    assert correction.can_redo == (back > 0)
    for which in range(back):
        correction.redo()
        assert np.array_equal(correction.label, states[len(drawn) - back + which + 1])
    assert np.array_equal(correction.counts, np.bincount(correction.label.ravel(), minlength=256))


def test_what_cannot_be_done_is_refused() -> None:
    volume = scan()
    correction = correction_of(volume, np.zeros(volume.shape, dtype=np.uint8))
    with pytest.raises(ValueError, match="no stroke to take back"):
        correction.undo()
    with pytest.raises(ValueError, match="no stroke to paint again"):
        correction.redo()
    with pytest.raises(ValueError, match="expected a slice below 5, got 5"):
        correction.paint(stroke(index=5))
    correction.paint(stroke())
    correction.undo()
    correction.paint(stroke(index=1))
    assert not correction.can_redo
