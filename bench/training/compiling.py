"""Whether to compile, and what came of it: one course for steps, for draws of a gradient and for bounds."""

import copy
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from torch import Generator, nn

from bench.training.attributes import changed, plain_attributes
from bench.training.noise import Noted, Untraceable
from bench.training.program import draws_of
from bench.training.worth import TYPICAL, Wish, Worth

Compiled = TypeVar("Compiled")
Copied = TypeVar("Copied")


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


def copy_of(thing: Copied, words: str, memo: dict[int, Any] | None = None) -> Copied:
    """A copy to be tried and traced: what a trace leaves in a module has no values.

    Args:
        thing: to copy.
        words: what it is called where it has no copy.
        memo: what the copy shares with it, as `copy.deepcopy` takes it.

    Raises:
        Untraceable: it has no copy.
    """
    try:
        return copy.deepcopy(thing, memo)
    except Exception as error:  # of whatever a third party's class holds
        raise Untraceable(f"{words} cannot be copied: {error}") from error


def look_at_call(call: Callable[[], object], module: nn.Module, generator: Generator) -> Noted:
    """Call once, with a module that is a copy, and watch.

    Raises:
        Untraceable: what is seen cannot be a program.
    """
    before = plain_attributes([module])
    noted = draws_of(call, [generator])
    if name := changed(before, plain_attributes([module])):
        raise Untraceable(f"{name} changes from call to call")
    return noted
