"""Says how far readers agree on a measured value, such as a volume; intervals by drawing cases anew."""

from collections.abc import Sequence

import numpy as np

from fedvoxel.evaluation.judgement.intervals import Estimate, Numbers, estimate

_NOTHING = 1e-12
"""Spread, as a share of the mean square, that is rounding and no spread."""


def icc_2_1(values: Sequence[Sequence[float]]) -> Estimate:
    """Returns the intraclass correlation ICC(2,1): absolute agreement of single readers drawn from many.

    Args:
        values: A row for each case with one value for each reader, in the same order.

    Returns:
        At most 1; no value with fewer than two cases or readers, or where nothing varies.

    Raises:
        ValueError: A value is not finite, or a row has another length.

    Source: Shrout and Fleiss 1979, Intraclass correlations, case 2:
        (BMS − EMS) / (BMS + (k − 1) EMS + k (JMS − EMS) / n).
    """
    table = np.array(values, dtype=np.float64)
    if table.size and (table.ndim != 2 or not np.isfinite(table).all()):
        raise ValueError("expected a finite value of each reader for each case")
    if table.ndim != 2 or min(table.shape) < 2:
        return Estimate(cases=len(table), patients=len(table))
    k, cases = table.shape[1], table.mean(axis=1)
    least = _NOTHING * float(np.square(table).mean())

    def icc(drawn: Numbers) -> Numbers:
        n = drawn.sum(axis=1)
        grand, readers = drawn @ cases / n, drawn @ table / n[:, np.newaxis]
        between = k * (drawn * np.square(cases - grand[:, np.newaxis])).sum(axis=1) / (n - 1)
        judges = n * np.square(readers - grand[:, np.newaxis]).sum(axis=1) / (k - 1)
        rest = table - cases[:, np.newaxis] - (readers - grand[:, np.newaxis])[:, np.newaxis, :]
        error = np.einsum("dc,dcr->d", drawn, np.square(rest)) / ((n - 1) * (k - 1))
        whole = between + (k - 1) * error + k * (judges - error) / n
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(whole > least, (between - error) / whole, np.nan))

    return estimate(icc, len(table), len(table))
