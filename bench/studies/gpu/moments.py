"""Rows a second of moments over those of bare forward evaluations of f, in turns: 784-200-784, batch 100."""

from collections.abc import Iterator

import numpy as np

from bench.measure.clock import interleaved
from bench.studies.gpu.cases import Sizes
from bench.studies.models import MNIST
from bench.studies.moments import MomentsCase
from bench.studies.results import Row

SETTING = MNIST._replace(batch=100)


def measure(name: str, device: str, sizes: Sizes, target: float | None) -> Iterator[Row]:
    """The two rates, in rows of x that f is evaluated on, and their ratio round by round."""
    case = MomentsCase(name, SETTING, sizes.draws, device)
    taken, given = interleaved([case.compiled(), case.forward], rounds=sizes.moments_rounds, warm_up=1, device=device)
    about = {"estimator": name, "draws": sizes.draws}
    rows = sizes.draws * case.evaluations * SETTING.batch
    yield Row.repeated("rows a second of moments", rows / np.asarray(taken), unit="1/s", case=about)
    yield Row.repeated("rows a second of f", rows / np.asarray(given), unit="1/s", case=about)
    ratio = np.divide(given, taken)
    yield Row.repeated(
        "moments over bare f", ratio, case=about, target=target if device == "cuda" else None, at_least=True
    )
