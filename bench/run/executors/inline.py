"""One cell after another, in this process."""

from collections.abc import Iterable
from typing import Self

from bench.run.executors.base import Results, Run
from bench.suite.schema import Cell


class Inline:
    """The executor of one process: this one."""

    elsewhere = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, cells: Iterable[Cell], run: Run) -> Results:
        """Run the cells here, in order."""
        for cell in cells:
            yield cell, run(cell)

    alone = singly = __call__


inline = Inline()
