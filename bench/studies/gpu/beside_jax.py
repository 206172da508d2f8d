"""The linear DisARM step in JAX, in a process of its own on the same device, and ours over it.

`bench.studies.peers.jax_steps` has the step. Its prior is fixed and its decoder takes z itself, which costs less than
the learned prior and 2z - 1 of ours; its rows are invented, as many, and drawn to bits in each step as ours are.
"""

import importlib.util
import os
from collections.abc import Iterator, Sequence

import numpy as np

from bench.studies.gpu.cases import DISARM, Case, JaxCase, Sizes
from bench.studies.gpu.steps import BATCH, DIGITS, LATENTS, RATE, dataset
from bench.studies.peers.jax_process import JaxProcess, Job
from bench.studies.results import Row

PRECISIONS = {"highest": "highest", "high": "tensorfloat32"}
"""Of ours, in JAX's words."""
SHAPES = {DIGITS: (64, 1285), "mnist-dynamic": (784, 50_000)}
"""Pixels and rows of the train split."""
PIXEL_MEAN = 0.13


def missing() -> list[str]:
    """Packages that JAX's step needs and that are not here."""
    return [name for name in ("jax", "optax") if importlib.util.find_spec(name) is None]


def measure(case: JaxCase, device: str, sizes: Sizes, ours: Sequence[Row]) -> Iterator[Row]:
    """Rows of JAX's step; and the ratio of our compiled one to it, where that was measured before.

    Args:
        case: how many seeds, how exact.
        device: where.
        sizes: how much.
        ours: rows measured so far.
    """
    data = dataset(device)
    pixels, rows = SHAPES[data]
    job = Job(
        estimator="disarm",
        sizes=(pixels, LATENTS[data]),
        stacked=case.seeds,
        batch=BATCH,
        steps=sizes.steps,
        learning_rate=RATE,
        rows=rows,
        pixel_mean=PIXEL_MEAN,
        binarised=data != DIGITS,
        threads=os.cpu_count() or 1,
    )
    variables = {
        "JAX_PLATFORMS": device,
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # or it would take the memory that ours has
        "JAX_DEFAULT_MATMUL_PRECISION": PRECISIONS[case.precision],
    }
    about = {"estimator": "JAX", "seeds": case.seeds, "precision": case.precision}
    with JaxProcess(job, variables) as process:
        yield Row(quantity="seconds to compile", unit="s", value=process.started["compile_seconds"], case=about)
        process.seconds()
        rates = [sizes.steps / process.seconds() for _ in range(sizes.rounds)]
    yield Row.repeated("steps a second", rates, unit="1/s", case=about)
    same = Case(DISARM, seeds=case.seeds, precision=case.precision).about()
    for row in ours:
        if row.quantity == "steps a second" and same.items() <= row.case.items():
            ratio = row.value / float(np.median(rates))
            target = 1.0 if device == "cuda" and case.precision == "highest" else None
            yield Row(quantity="ours over JAX", value=ratio, case=about, target=target, at_least=True)
