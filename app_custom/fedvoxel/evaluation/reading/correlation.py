"""Says how far readers agree on a measured value, such as a volume."""

from collections.abc import Sequence

import numpy as np


def icc_2_1(values: Sequence[Sequence[float]]) -> float | None:
    """Returns the intraclass correlation ICC(2,1): absolute agreement of single readers drawn from many.

    Args:
        values: A row for each case with one value for each reader, in the same order.

    Returns:
        At most 1; None with fewer than two cases or readers, or where nothing varies.

    Raises:
        ValueError: A value is not finite, or a row has another length.

    Source: Shrout and Fleiss 1979, Intraclass correlations, case 2:
        (BMS − EMS) / (BMS + (k − 1) EMS + k (JMS − EMS) / n).
    """
    table = np.array(values, dtype=np.float64)
    if table.size and (table.ndim != 2 or not np.isfinite(table).all()):
        raise ValueError("expected a finite value of each reader for each case")
    if table.ndim != 2 or min(table.shape) < 2:
        return None
    n, k = table.shape
    grand = table.mean()
    cases, readers = table.mean(axis=1), table.mean(axis=0)
    between = k * float(np.square(cases - grand).sum()) / (n - 1)
    judges = n * float(np.square(readers - grand).sum()) / (k - 1)
    rest = table - cases[:, np.newaxis] - readers[np.newaxis, :] + grand
    error = float(np.square(rest).sum()) / ((n - 1) * (k - 1))
    whole = between + (k - 1) * error + k * (judges - error) / n
    return None if whole <= 0.0 else (between - error) / whole
