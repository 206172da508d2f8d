"""Whether to compile, and what came of it: one course for steps, for draws of a gradient and for bounds."""

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from bench.training.noise import Noted, Untraceable
from bench.training.worth import TYPICAL, Wish, Worth

Compiled = TypeVar("Compiled")


class Made(NamedTuple):
    """What came of compiling."""

    compiled: bool
    seconds: float | None
    """That it took."""
    because: str | None
    """Why it was not done."""


def compile_if_worth(
    wish: Wish,
    worth: Worth,
    runs: int,
    *,
    look: Callable[[], Noted],
    build: Callable[[Noted], Compiled],
    of: str = "steps",
    largest: int = TYPICAL,
) -> tuple[Compiled | None, Made]:
    """Look at what is to be compiled, and compile it where that is wished and can be done.

    Args:
        wish: "auto" to compile where it pays.
        worth: the rule for it.
        runs: how often it will be run.
        look: runs it once and watches.
        build: compiles it, given what was seen.
        of: what `runs` counts, in the plural.
        largest: numbers in the largest tensor of a run, at most, where that is known before it is looked at.
    """
    started = time.perf_counter()
    if wish is False:
        return None, Made(False, None, "not asked for")
    if wish == "auto" and not worth.may_pay(runs, largest):
        return None, Made(False, None, f"{runs} {of} are too few to compile for")
    try:
        seen = look()
        if wish == "auto" and not worth.pays(seen.calls, runs, seen.largest):
            short = f"{runs} {of} of {seen.calls} operations save less time than compiling takes"
            return None, Made(False, None, short)
        return build(seen), Made(True, time.perf_counter() - started, None)
    except Untraceable as error:
        return None, Made(False, None, str(error))
