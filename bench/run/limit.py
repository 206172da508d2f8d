"""When a run stops short of its end: at its time limit, at SIGTERM, which a batch queue sends, and at Ctrl-C.

A training cell stops between two steps and leaves a checkpoint. What cannot be stopped inside, a cell of moments, a
report, is left where it is, GRACE seconds after the limit. So a run ends a few seconds after its limit, whatever it was
at, and nothing that it has written is ever half of something.
"""

import math
import re
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from bench.training.stopped import Stopped
from estimators.errors import BadInput

GRACE = 3.0
"""Seconds after the limit in which what cannot be stopped inside may still come to its end."""
MARGIN = 2.0
"""Seconds before the limit in which nothing new begins."""
LONGEST = 366 * 86400
AT_LIMIT, AT_SIGTERM = "its time limit", "SIGTERM"

_told: dict[str, str] = {}
"""Why another process told this one, a worker, to stop, by the token of its limit: a worker may outlive a run."""


def seconds_of(text: str) -> float:
    """The seconds of a time as a person types it: 90s, 8m, 1h, 1h30m.

    Raises:
        BadInput: another form, nothing, or more than a year.
    """
    found = re.fullmatch(r"(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?", text.strip().lower())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not 1 <= total <= LONGEST:
        raise BadInput(
            f"--time-limit {text!r} is no time between 1s and a year: write it as 90s, 8m, 1h or 1h30m, with the unit"
        )
    return float(total)


class Limit:
    """When to stop, and whether that was asked for. In a `with` block signals are heard, in the main thread alone.

    Copied into another process it has as many seconds left there as it had here: each machine has a clock of its own.

    Args:
        seconds: from the start; None for none.
        started: by `time.monotonic`; None for now.
    """

    def __init__(self, seconds: float | None = None, started: float | None = None) -> None:
        self.deadline = math.inf
        if seconds is not None:
            self.deadline = (time.monotonic() if started is None else started) + seconds
        self.token = secrets.token_hex(8)
        """Of the run that it belongs to, whose workers may have served others."""
        self.wanted: BaseException | None = None
        """What stops the run, from when it is known."""
        self._busy = 0
        self._before: dict[signal.Signals, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"left": self.left, "token": self.token}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["left"])  # type: ignore[misc]
        self.token = state["token"]

    @property
    def left(self) -> float:
        """Seconds up to the deadline."""
        return self.deadline - time.monotonic()

    @property
    def reached(self) -> bool:
        """Whether to stop."""
        return self.wanted is not None or self.token in _told or time.monotonic() >= self.deadline

    def check(self) -> None:
        """Stop here, where it is time.

        Raises:
            Stopped: the limit or SIGTERM has come; or a KeyboardInterrupt.
        """
        if self.wanted is None and self.reached:
            self.wanted = Stopped(_told.get(self.token, AT_LIMIT))
        if self.wanted is not None:
            raise self.wanted

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """What is inside comes to its end before a signal is heard; a second Ctrl-C is heard at once."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            wanted = [signal.SIGINT, signal.SIGTERM, *([signal.SIGALRM] if self.deadline < math.inf else [])]
            for number in wanted:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell's background jobs have Ctrl-C
                    self._before[number] = signal.signal(number, self._heard)
            if signal.SIGALRM in self._before:
                signal.setitimer(signal.ITIMER_REAL, max(self.left + GRACE, 1e-3))
        return self

    def __exit__(self, *_: object) -> None:
        if signal.SIGALRM in self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _heard(self, number: int, frame: FrameType | None) -> None:
        again = self.wanted is not None
        if number == signal.SIGINT:
            self.wanted = KeyboardInterrupt()
            if self._busy and not again:
                return
        elif again:
            return
        else:
            self.wanted = Stopped(AT_SIGTERM if number == signal.SIGTERM else AT_LIMIT)
            if self._busy:
                return
        raise self.wanted


def tell(token: str, reason: str) -> None:
    """Tell this process, a worker, that what runs in it for a limit is to stop; whoever has the limit calls it here."""
    _told[token] = reason
