"""Measuring a factor: seconds in interleaved rounds, bytes in fresh processes."""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from bench.measure.clock import interleaved
from bench.run.provenance import machine
from bench.studies.results import Row, Run
from bench.studies.scaling.factors import Case, Factor
from bench.studies.scaling.subjects import Call

THREADS = 1
"""Torch threads of every point: on a machine that others use too, threads that wait for each other time the others."""
WARM_UP = 2
PAGE = resource.getpagesize()


def measure_apart(factor: Factor) -> Run:
    """`measure` in a process of its own, so that what one factor does to the allocator is no other's concern."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, factor).result()


def measure(factor: Factor) -> Run:
    """All cases of a factor; the process's number of threads is left as it was."""
    started, before = time.perf_counter(), torch.get_num_threads()
    timed = [case for case in factor.cases if case.quantity == "seconds"]
    sized = [case for case in factor.cases if case.quantity == "bytes"]
    torch.set_num_threads(THREADS)
    try:
        provenance = machine("cpu")
        rows = (*_timed(timed, factor.rounds), *_sized(sized, factor.repeats))
    finally:
        torch.set_num_threads(before)
    methods = [
        f"median and quartiles of {factor.rounds} rounds after {WARM_UP} that warm up; in a round every size of every "
        "subject takes its turn"
    ] * bool(timed) + [
        f"peak resident memory of a fresh process above that of one that imports and builds only; median and quartiles "
        f"of {factor.repeats} processes a size"
    ] * bool(sized)
    seconds = round(time.perf_counter() - started, 1)
    about = {"unit": factor.unit, "method": "; ".join(methods), "seconds": seconds}
    return Run(name=factor.name, provenance=provenance, about=about, rows=rows)


def _row(case: Case, size: int, costs: Sequence[float]) -> Row:
    about = {"subject": case.subject, "setting": case.setting, "expected": case.expected, "threads": THREADS}
    return Row.repeated(case.quantity, costs, case=about | {"size": size})


def _timed(cases: Sequence[Case], rounds: int) -> list[Row]:
    points = [(case, size) for case in cases for size in case.sizes]
    seconds = interleaved([case.make(size) for case, size in points], rounds=rounds, warm_up=WARM_UP)
    return [_row(case, size, costs) for (case, size), costs in zip(points, seconds, strict=True)]


def _sized(cases: Sequence[Case], repeats: int) -> Iterator[Row]:
    # Two at a time: unlike seconds, bytes do not mind the company.
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        for case in cases:
            base = [pool.submit(_peak, case.make, case.sizes[0], False) for _ in range(repeats)]
            peaks = [[pool.submit(_peak, case.make, size, True) for size in case.sizes] for _ in range(repeats)]
            floor = float(np.median([future.result() for future in base]))
            for size, futures in zip(case.sizes, zip(*peaks, strict=True), strict=True):
                # No less than a page: a logarithm is taken of it.
                yield _row(case, size, [max(future.result() - floor, PAGE) for future in futures])


def _peak(make: Callable[[int], Call], size: int, called: bool) -> int:
    """Bytes at this process's peak after it has built something, and called it."""
    torch.set_num_threads(THREADS)
    call = make(size)
    if called:
        call()
    return peak_resident()


def peak_resident() -> int:
    """Bytes of this process's largest resident set so far.

    From Linux's own count, since `ru_maxrss` there starts at the size that the parent had when it forked.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most
