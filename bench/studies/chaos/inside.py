"""What happens inside of a run's process: it is killed, or told of an error, at the n-th thing that it does to a file.

Python tells an audit hook of every file that is opened, renamed, linked or removed, before it happens; what is written
and flushed to the disk is told of here.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOLD = ("open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
"""Audit events that change files."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def without_report() -> None:
    """Let a run end with its records."""
    import bench.cli.report

    bench.cli.report.write_report = lambda folders, out: None  # type: ignore[assignment, misc]


def watch(where: str, act: Callable[[int], None]) -> None:
    """Call `act` with 1, 2, ... before each thing that is done to a file of which `where` is a part of the path."""
    count, inside = 0, False

    def told(path: object) -> None:
        nonlocal count, inside
        if inside or where not in os.fsdecode(path):  # type: ignore[arg-type]
            return
        count += 1
        inside = True
        try:
            act(count)
        finally:
            inside = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in TOLD or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
            return
        told(Path(os.getcwd(), os.fsdecode(arguments[0])))

    flush = os.fsync

    def fsync(descriptor: Any) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        told(path)
        flush(descriptor)
        told(path)

    os.fsync = fsync  # type: ignore[assignment]
    sys.addaudithook(hook)


def killed(where: str, nth: int) -> Callable[[], None]:
    """The process is killed at the n-th."""

    def act(count: int) -> None:
        if count == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: watch(where, act)


def failing(where: str, nth: int, error: int, times: int) -> Callable[[], None]:
    """The n-th and as many as `times` in all fail with an error of the system."""

    def act(count: int) -> None:
        if nth <= count < nth + times:
            raise OSError(error, os.strerror(error), where)

    return lambda: watch(where, act)


def counted(where: str, into: Path) -> Callable[[], None]:
    """How many there are is written into a file."""

    def act(count: int) -> None:
        into.write_text(str(count))

    return lambda: watch(where, act)


def cut(most: int) -> Callable[[], None]:
    """The kernel kills the process in the middle of a write, where a file grows beyond so many bytes."""
    import resource

    def prepare() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    return prepare
