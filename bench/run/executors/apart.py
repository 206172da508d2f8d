"""A cell in a process of its own, for one that has killed a process before, or that ran out of memory."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import torch

from bench.records.record import Record
from bench.run.executors.base import TO_STOP, Died, Results, Run, ending
from bench.run.executors.path import safe_path
from bench.run.limit import AT_SIGTERM, Limit, tell
from bench.suite.schema import Cell
from bench.training.stopped import Stopped


class Apart:
    """An executor whose cells run one at a time, in one process beside this, which may die of a cell.

    Args:
        limit: of the run; what runs hears of it.
    """

    elsewhere = False

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._process: Any = None
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def start(self, run: Run) -> None:
        """Start the process now: from one that has no threads yet it is forked, and need not import torch again."""
        if self._process is not None:
            return
        # OpenMP may hang in the fork of a process with threads; CUDA does not survive a fork at all.
        forks = hasattr(os, "fork") and threading.active_count() == 1 and not torch.cuda.is_initialized()
        context: Any = multiprocessing.get_context("fork" if forks else "spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, run, self.limit.token), daemon=True)
        with safe_path():
            self._process.start()
        theirs.close()

    def __call__(self, cells: Iterable[Cell], run: Run) -> Results:
        """Run the cells, in order; one that killed the process comes as `Died`, and the next one has a new process."""
        for cell in cells:
            self.start(run)
            assert self._connection is not None
            began = time.monotonic()
            try:
                self._connection.send(cell)
                answer = self._connection.recv()
                # Classes that were defined in this process alone are not known in one that began anew.
                yield cell, run(cell) if answer is None else answer
            except (EOFError, ConnectionError):
                self._process.join()
                died = Died(f"its process {ending(self._process.exitcode)}")
                self._end()
                yield cell, died
            except (Stopped, KeyboardInterrupt) as stop:
                if (answer := self._told_to_stop()) is None:
                    answer = Stopped(str(stop), None if cell.measurement.resumes else time.monotonic() - began)
                yield cell, answer
                raise

    alone = singly = __call__

    def _told_to_stop(self) -> Record | Stopped | None:
        """What the process still gives when it is told to stop."""
        assert self._connection is not None
        self._process.terminate()
        answer: Record | Stopped | None = None
        with suppress(EOFError, OSError):
            if self._connection.poll(TO_STOP):
                answer = self._connection.recv()
        self._end()
        return answer

    def _end(self) -> None:
        if self._process is not None and self._connection is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
        self._process = self._connection = None


def _serve(connection: Connection, run: Run, token: str) -> None:
    """Run the cells that come, for as long as the process that sends them lives; None for one that cannot run here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both, and the other one says what to do
    signal.signal(signal.SIGTERM, lambda *_: tell(token, AT_SIGTERM))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with suppress(OSError):  # where memory runs out, the kernel is to end this process and not the one that waits
        Path("/proc/self/oom_score_adj").write_text("1000")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            answer = run(connection.recv())
        except EOFError:
            return
        except Exception:  # not of the cell's, which has a record of its own failures
            answer = None
        connection.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
