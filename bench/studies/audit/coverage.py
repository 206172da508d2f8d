"""Coverage of a variance's interval, and what twenty labels of one estimator are told apart by."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.statistics import FEW_EFFECTIVE_DRAWS, LEAST_RARE_EVENTS, lowest, normal_quantile
from bench.studies.audit.pools import Pool, samples

SIZES = (100, 300, 1000, 3000)
LABELS, NULL_DRAWS, GROUPS = 20, 1000, 5
QUANTILE = normal_quantile(0.95)


def covered(pool: Pool) -> Iterator[dict[str, Any]]:
    """A row a number of draws: the share of samples whose 95 % interval holds the truth."""
    for n in SIZES:
        found = samples(pool, n)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (found.logs - math.log(pool.truth)) / found.log_se
        inside = (np.abs(z) <= QUANTILE) | np.isinf(found.log_se)
        few = found.effective < FEW_EFFECTIVE_DRAWS
        yield _where(pool) | {
            "truth": pool.method,
            "draws": n,
            "rare events": n * pool.events,
            "interval": "no" if n * pool.events < LEAST_RARE_EVENTS else "yes",
            "samples": len(z),
            "covered": float(inside.mean()),
            "too low": float((z < -QUANTILE).mean()),
            "flagged": float(few.mean()),
            "covered, flagged": float(inside[few].mean()) if few.any() else math.nan,
            "covered, kurtosis above 10": _mean(inside[n / found.effective > 10]),
            "covered, kurtosis at most 10": _mean(inside[n / found.effective <= 10]),
        }


def said(pool: Pool) -> Iterator[dict[str, Any]]:
    """A row a point: in how many groups of equal labels anything is called worse, and with pairs tested one by one."""
    if NULL_DRAWS * pool.events < LEAST_RARE_EVENTS:
        return
    found = samples(pool, NULL_DRAWS)
    false = pairs = gaussian = 0
    for group in np.array_split(np.arange(LABELS * GROUPS), GROUPS):
        logs, log_se = found.logs[group], found.log_se[group]
        false += bool(lowest(logs, log_se).worse)
        with np.errstate(invalid="ignore"):
            t = np.nan_to_num((logs - logs.min()) / np.hypot(log_se, log_se[logs.argmin()]))
            every = np.nan_to_num((logs[:, None] - logs) / np.hypot(log_se[:, None], log_se))
        pairs += bool((t > QUANTILE).any())
        gaussian += bool((every > TUKEY).any())
    yield _where(pool) | {
        "groups": GROUPS,
        "median standard error": float(np.median(found.log_se)),
        "false, one by one": pairs,
        "false, Gaussian law": gaussian,
        "false": false,
    }


TUKEY = 3.5417
"""Upper 5 % point of the range of twenty standard Gaussian numbers, over sqrt(2)."""


def _mean(hits: Any) -> float:
    return float(hits.mean()) if hits.size else math.nan


def _where(pool: Pool) -> dict[str, Any]:
    return {"problem": pool.problem, "point": pool.point, "estimator": pool.estimator}
