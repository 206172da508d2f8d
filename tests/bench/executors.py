"""Executors of a test's own."""

from collections.abc import Callable, Sequence
from typing import Any

from bench.run.executors import Results, Run
from bench.run.executors.inline import Inline
from bench.suite.schema import Cell


class Executing(Inline):
    """An executor that is a function of all the cells and of what runs one; alone they run here."""

    def __init__(self, spread: Callable[[Sequence[Cell], Run], Any]) -> None:
        self.spread = spread

    def __call__(self, cells: Any, run: Run) -> Results:
        return self.spread([*cells], run)
