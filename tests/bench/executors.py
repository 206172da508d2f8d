"""Executors of a test's own, and what runs a cell in a worker process, which imports this file alone."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import torch

from bench.records.record import Record
from bench.run.cell import make_record
from bench.run.executors import Results, Run
from bench.run.executors.inline import Inline
from bench.suite.schema import Cell
from bench.training.checkpoint import KEEPER


class Executing(Inline):
    """An executor that is a function of all the cells and of what runs one; alone they run here."""

    def __init__(self, spread: Callable[[Sequence[Cell], Run], Any]) -> None:
        self.spread = spread

    def __call__(self, cells: Any, run: Run) -> Results:
        return self.spread([*cells], run)

    singly = __call__


VARIABLES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def tell_of(cell: Cell) -> Record:
    """A record that holds what a process is; one of `arm` is killed, one of `reinforce` waits until it is to stop."""
    if cell.estimator.name == "arm":
        os.kill(os.getpid(), signal.SIGKILL)
    while cell.estimator.name == "reinforce":
        if KEEPER.get().due():
            KEEPER.get().keep(dict)
        time.sleep(0.01)
    found = {name: os.environ.get(name) for name in VARIABLES} | {"pid": os.getpid()}
    found |= {"intra": torch.get_num_threads(), "inter": torch.get_num_interop_threads()}
    time.sleep(0.2)  # so that the other worker takes one too
    return make_record(cell, found, None, datetime.now(UTC), 0.2)


def at_once(cell: Cell) -> Record:
    """The record of a short cell, in which process it ran; one of `arm` is killed."""
    if cell.estimator.name == "arm":
        os.kill(os.getpid(), signal.SIGKILL)
    return make_record(cell, {"pid": os.getpid()}, None, datetime.now(UTC), 0.001)
