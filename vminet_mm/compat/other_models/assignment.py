"""mmdet's trackers without the packages ``lap`` and ``motmetrics``.

Each takes one function from them, to match tracks and detections. SciPy solves the same problem.
"""

from types import ModuleType, SimpleNamespace

import numpy as np

from ..patching import mark_active


def assign(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Match rows and columns at the minimum cost, like ``motmetrics.lap.linear_sum_assignment``.

    What is not finite in the costs (N, M) is not matched. As many matches are made as there can be;
    among those the sum of costs is minimal. Returns their rows and columns.
    """
    from scipy.optimize import linear_sum_assignment

    costs = np.asarray(costs, dtype=float)
    allowed = np.isfinite(costs)
    if not allowed.any():
        return np.zeros(0, int), np.zeros(0, int)
    # dearer than any set of allowed matches
    forbidden = 2 * min(costs.shape) * np.abs(costs[allowed]).max() + 1
    rows, columns = linear_sum_assignment(np.where(allowed, costs, forbidden))
    kept = allowed[rows, columns]
    return rows[kept], columns[kept]


def lapjv(
    cost: np.ndarray, extend_cost: bool = False, cost_limit: float = np.inf
) -> tuple[float, np.ndarray, np.ndarray]:
    """Match rows and columns of a cost (N, M) like ``lap.lapjv``, none above the limit.

    Leaving one row and one column alone costs as much as the limit. N and M may differ whatever
    ``extend_cost`` is. Returns the cost of the matches, the column of each row and the row of each
    column, -1 for none.
    """
    from scipy.optimize import linear_sum_assignment

    cost = np.asarray(cost, dtype=float)
    n, m = cost.shape
    alone = cost_limit / 2 if np.isfinite(cost_limit) else np.abs(cost).sum() + 1
    square = np.full((n + m, n + m), alone)
    square[:n, :m] = cost
    square[n:, m:] = 0
    rows, columns = linear_sum_assignment(square)
    matched = (rows < n) & (columns < m)
    rows, columns = rows[matched], columns[matched]
    of_row, of_column = np.full(n, -1), np.full(m, -1)
    of_row[rows], of_column[columns] = columns, rows
    return float(cost[rows, columns].sum()), of_row, of_column


def fix(module: ModuleType) -> None:
    """Let the trackers match with SciPy what they would match with a package that is missing."""
    # upstream sets the package that it cannot import to None
    if vars(module).get('motmetrics', ...) is None:
        module.motmetrics = SimpleNamespace(lap=SimpleNamespace(linear_sum_assignment=assign))
        module.linear_sum_assignment = assign
        mark_active(__name__)
    if vars(module).get('lap', ...) is None:
        module.lap = SimpleNamespace(lapjv=lapjv)
        mark_active(__name__)
