"""How fast this machine is beside a typical core, by a short probe: for a plan of which nothing was run yet."""

import time

import torch

TIMES = 40
"""Steps of the probe."""
ON_A_TYPICAL_CORE = 0.11
"""Seconds that they take on a core of 2023, the one on which `bench.measure.cost` was set, by its own clock."""


def slowness() -> float:
    """Seconds here for a second of a typical core, as the machine is now, with whatever else it does; takes 0.1 s.

    The probe is a training step as most are here: small tensors, in which calling is what takes time, and products of
    matrices of some hundred rows.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(size, generator=generator).requires_grad_() for size in ((200, 200), (200, 784)))
    x = torch.rand(100, 200, generator=generator)
    try:
        _step(x, first, second)  # the first allocates
        started = time.perf_counter()
        for _ in range(TIMES):
            _step(x, first, second)
        return (time.perf_counter() - started) / ON_A_TYPICAL_CORE
    finally:
        torch.set_num_threads(threads)


def _step(x: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> None:
    logits = (x @ first).sigmoid() @ second
    for _ in range(10):  # what an estimator does with a number a row
        logits = logits + logits.mean(-1, keepdim=True)
    torch.autograd.grad(torch.nn.functional.softplus(logits).sum(), [first, second])
