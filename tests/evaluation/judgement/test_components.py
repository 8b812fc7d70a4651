import numpy as np

from fedvoxel.evaluation.judgement.components import PieceCounts, count_pieces


def boxes(*corners: tuple[int, int], size: int = 3) -> np.ndarray:
    mask = np.zeros((30, 30, 6), bool)
    for x, y in corners:
        mask[x : x + size, y : y + size, 1:4] = True
    return mask


def test_pieces_that_share_enough_are_found() -> None:
    truth = boxes((2, 2), (12, 12), (22, 22))
    predicted = boxes((3, 2), (22, 22), (2, 22))
    assert count_pieces(predicted, truth) == PieceCounts(truth=3, found=2, false=1)


def test_a_touch_finds_nothing() -> None:
    assert count_pieces(boxes((4, 4)), boxes((2, 2))) == PieceCounts(truth=1, found=0, false=1)


def test_one_piece_finds_one_only() -> None:
    truth = boxes((2, 2), (6, 2))
    over_both = boxes((2, 2), (5, 2), (6, 2))
    assert count_pieces(over_both, truth) == PieceCounts(truth=2, found=1, false=0)


def test_corners_join_pieces() -> None:
    assert count_pieces(boxes((2, 2), (5, 5)), boxes((2, 2), (5, 5))) == PieceCounts(truth=1, found=1, false=0)


def test_nothing_beside_something() -> None:
    nothing = np.zeros((30, 30, 6), bool)
    assert count_pieces(nothing, boxes((2, 2))) == PieceCounts(truth=1, found=0, false=0)
    assert count_pieces(boxes((2, 2)), nothing) == PieceCounts(truth=0, found=0, false=1)
    assert count_pieces(nothing, nothing) == PieceCounts(truth=0, found=0, false=0)
