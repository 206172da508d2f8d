"""Whether code draws random numbers that nobody handed to it: from Python's `random`, or numpy's global generator."""

import random
import sys
from types import FrameType
from typing import Any, Self

DRAWS = {"random", "getrandbits"}
"""Methods of Python's generators from which all others take their numbers."""


class Elsewhere:
    """Watches, while it is entered, for numbers that this thread draws from Python's generators or numpy's global one.

    Other threads draw from Python's too, such as the event loop of a dask worker, twice a second. That its state has
    changed therefore says nothing: this thread's calls are watched, by the hook for profilers. Where a profiler is at
    work already, and for numpy's generator, whose calls that hook does not see, the state must do. What a module draws
    while it is imported is no noise of a call: torch imports one that does where a gradient is first taken of several
    numbers.

    Attributes:
        found: the module that was drawn from, "random" or "numpy"; None for neither.
    """

    def __init__(self) -> None:
        self.found: str | None = None

    def __enter__(self) -> Self:
        self._hooked = sys.getprofile() is None
        self._before = None if self._hooked else random.getstate()
        self._of_numpy = _of_numpy()
        self._entered: FrameType | None = sys._getframe(1)
        if self._hooked:
            sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        if self._hooked:
            sys.setprofile(None)
        elif random.getstate() != self._before:
            self.found = "random"
        if _of_numpy() != self._of_numpy:
            self.found = "numpy"
        self._entered = None  # a frame keeps alive all that is in it

    def _called(self, frame: FrameType, event: str, argument: Any) -> None:
        """Note a call of a function in C, if it is one that draws."""
        draws = event == "c_call" and getattr(argument, "__name__", None) in DRAWS
        if draws and isinstance(getattr(argument, "__self__", None), random.Random) and not self._importing(frame):
            self.found = "random"

    def _importing(self, frame: FrameType | None) -> bool:
        """Whether a frame is of a module that is being imported, or called by one, since this was entered."""
        while frame is not None and frame is not self._entered:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return True
            frame = frame.f_back
        return False


def _of_numpy() -> tuple[Any, ...]:
    """The state of numpy's global generator; nothing where numpy is not loaded."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return ()
    _, keys, *rest = numpy.random.get_state(legacy=True)
    return keys.tobytes(), *rest
