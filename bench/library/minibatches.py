"""Points of fresh minibatches, from a function of a person's own that makes one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import torch

from bench.library.point import Point, point_of
from bench.seeds import derive
from estimators.errors import BadInput


def fresh_points(make: Callable[[], Any], count: int, seed: int) -> Iterator[Point]:
    """Points of fresh minibatches, with torch's global generator seeded for each and put back afterwards.

    Args:
        make: returns a point, of a minibatch that it draws from torch's global generator or by itself.
        count: how many.
        seed: of the generator.

    Raises:
        BadInput: what it returns is no point, or its points differ in more than their numbers.
    """
    first: Point | None = None
    for index in range(count):
        with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_initialized() else []):
            torch.manual_seed(derive("minibatch", seed, index))
            try:
                made = make()
            except Exception as error:  # of foreign code, whose reason is wanted
                short = str(error).partition("\n")[0]
                what = "" if isinstance(error, BadInput) else f"it raised {type(error).__name__}: "
                raise BadInput(f"making minibatch {index + 1} of {count}: {what}{short}") from error
            point = point_of(made)
        with suppress(Exception):  # what f lacks is said where it is examined
            _ = point.mark
        first = first or point
        for what, a, b in (
            ("family", first.family.name, point.family.name),
            ("rows", list(first.rows), list(point.rows)),
            ("event", list(first.event), list(point.event)),
            ("number of weights", len(first.weights), len(point.weights)),
        ):
            if a != b:
                raise BadInput(f"minibatches differ in {what}: {a} and {b}; make points of one shape (drop_last=True)")
        yield point


def check_still(points: Sequence[Point]) -> None:
    """Refuse minibatches that are not any more what they were when they were made.

    Raises:
        BadInput: f reads what the function that makes them changes, so that all would have the last one's rows.
    """
    if any(point.mark != point.fingerprint() for point in points):
        raise BadInput(
            "a minibatch changes when the next one is made, as its f, its closed form or its expectation reads a state "
            "that the function sets: let them close over the rows of their own minibatch"
        )
