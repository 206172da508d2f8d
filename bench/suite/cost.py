"""What the cells of a plan cost before they run, and whether this machine has room for each.

What a cell costs its measurement says (`bench.measure.base.Measurement.cost`); of one that does not say nothing is
assumed.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from bench.measure.cost import Cost
from bench.suite.schema import Cell
from estimators.errors import BadInput

LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""Files of a control group, of its second version and of its first, that say how much memory it may take."""


class Total(NamedTuple):
    """Of several cells."""

    evaluations: float
    """Of f."""
    largest: Cell | None
    """The one that takes the most memory."""
    memory: float
    """Bytes that it takes at its peak."""
    unknown: int
    """Cells of which nothing is known, and which count for nothing here."""
    steps: float = 0.0
    """Of training."""
    on_h100: float | None = None
    """Seconds that those of them that are for a GPU take on an H100; None where there are none, or one is unknown."""


def _one_after_another(cells: Iterable[Cell]) -> Iterator[tuple[Cell, Cost | None]]:
    """Each cell with its cost; what those of a problem share is in that of the first alone."""
    shared = set()
    for cell in cells:
        cost = cell.cost
        if cost is not None and cost.shared is not None:
            key, more = (cell.problem, cell.measurement), cost.shared
            if key not in shared:
                there = None if None in (cost.on_h100, more.on_h100) else (cost.on_h100 or 0) + (more.on_h100 or 0)
                cost = cost._replace(
                    evaluations=cost.evaluations + more.evaluations,
                    seconds=cost.seconds + more.seconds,
                    steps=cost.steps + more.steps,
                    on_h100=there,
                )
            shared.add(key)
        yield cell, cost


def total(cells: Iterable[Cell]) -> Total:
    """What some cells cost together."""
    evaluations = memory = steps = 0.0
    largest, unknown = None, 0
    on_gpu = list[float | None]()
    for cell, cost in _one_after_another(cells):
        if cost is None:
            unknown += 1
            continue
        evaluations += cost.evaluations
        steps += cost.steps
        on_gpu += [cost.on_h100] * (cell.device == "cuda")
        if cost.memory > memory:
            largest, memory = cell, cost.memory
    known = [seconds for seconds in on_gpu if seconds is not None]
    on_h100 = sum(known) if known and len(known) == len(on_gpu) else None
    return Total(evaluations, largest, memory, unknown, steps, on_h100)


def typical_seconds(cells: Iterable[Cell]) -> dict[str, float]:
    """Seconds of cells on a typical core, by id; the first of those that share work does it for all."""
    return {cell.id: cost.seconds for cell, cost in _one_after_another(cells) if cost is not None}


def memory_here(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes of memory that a process may take on this machine: all there are, or as many as its control group allows.

    Args:
        root: of the control groups; the groups that this process is in are below it, and what is the root inside of a
            container is such a group outside.
    """
    room = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    try:
        own = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # of another system than Linux
        own = []
    groups = {root / line.rpartition(":")[2].lstrip("/") for line in own} | {root}
    for group in {above for one in groups for above in (one, *one.parents) if above.is_relative_to(root)}:
        for name in LIMITS:
            try:
                room = min(room, float((group / name).read_text()))
            except (OSError, ValueError):  # none, or `max`
                continue
    return room


def room_for(cell: Cell) -> tuple[float, str]:
    """Bytes of memory that a cell may take on its device, and what the device is called."""
    if cell.device == "cuda":
        return float(torch.cuda.get_device_properties(0).total_memory), "the GPU"
    return memory_here(), "this machine"


def check_fits(cells: Sequence[Cell]) -> None:
    """Refuse cells that cannot fit into memory, whatever else is there.

    Args:
        cells: that are to be run; those of a device have it.

    Raises:
        BadInput: what the first of them would take, and what there is.
    """
    rooms = {cell.device: room_for(cell) for cell in {cell.device: cell for cell in cells}.values()}
    for cell in cells:
        cost, (room, where) = cell.cost, rooms[cell.device]
        if cost is not None and cost.memory > room:
            raise BadInput(
                f"{cell.title} would take about {in_bytes(cost.memory)} of memory, and {where} has {in_bytes(room)}: "
                f"take fewer of {cell.measurement.sizes}"
            )


def in_bytes(count: float) -> str:
    """A number of bytes with its unit, in two digits."""
    return short(count, (" B", " kB", " MB", " GB", " TB"))


def short(count: float, thousands: Sequence[str]) -> str:
    """A number in two digits, or all before its point, and the word for its power of a thousand.

    Powers are chosen by what is shown: 999.7 is a thousand, and 99.7 is 100.
    """
    for word in thousands:
        if count < 999.5 or word == thousands[-1]:
            break
        count /= 1000
    return f"{count:.2g}{word}" if count < 99.5 else f"{count:.0f}{word}"
