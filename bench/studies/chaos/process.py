"""Processes of the command line, forked from this one, which has imported all of them; nothing of theirs is shared.

Importing torch and the packages of the report takes seconds, and a thousand faults need some thousand processes. The
process that forks must have one thread.
"""

import atexit
import ctypes
import faulthandler
import os
import resource
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

NEW_PIDS, NEW_MOUNTS = 0x20000000, 0x00020000
"""Flags of unshare(2)."""
WITH_PARENT = 1
"""What prctl(2) is asked for: a signal when the parent ends."""
PRIVATE = 0x4000 | 0x40000
"""Flags of mount(2): what is mounted here is not seen elsewhere, in the whole tree."""
BROKEN = 99
"""The exit code of a process that could not be made what it was to be."""
POLL = 0.002
"""Seconds between two looks at a process."""
STACKS = signal.SIGUSR1
"""At this signal a process writes to its stderr which function each of its threads is in."""
TO_WRITE_THEM = 0.3
"""Seconds in which it has done so."""
STACKS_SHOWN = 20_000
"""Characters of it that are kept: the main thread comes last."""

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leave namespaces of the parent.

    Raises:
        OSError: that is not allowed here.
    """
    if _libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare is not allowed here")


def mount(kind: str, where: Path, flags: int = 0, options: str = "") -> None:
    """Mount a file system that has no device.

    Raises:
        OSError: that is not allowed here.
    """
    if _libc.mount(b"none", str(where).encode(), kind.encode(), flags, options.encode() or None):
        raise OSError(ctypes.get_errno(), "mount is not allowed here", str(where))


def unmount(where: Path) -> None:
    """Unmount what is mounted there, once nobody uses it any more."""
    _libc.umount2(str(where).encode(), 2)


def last_words(said: str) -> str:
    """The last line of what a process wrote."""
    return repr(said.strip().rpartition("\n")[2][-300:]) if said.strip() else "it said nothing"


@dataclass
class Process:
    """A process that was started."""

    pid: int
    errors: Path
    """What it wrote to stderr, and to stdout."""
    holder: int
    """The child to wait for: the process itself, or the one outside of its namespace."""
    terminal: int | None = None
    """The other side of its terminal."""
    what: str = ""
    """Its command line."""
    began: float = field(default_factory=time.monotonic)
    code: int | None = None
    """Its exit code, minus the number of a signal that ended it; None while it runs."""
    seconds: float = 0.0
    """That it ran."""
    hurts: int = 0
    """Signals that reached it."""
    processor: float = 0.0
    """Seconds of processor time, of all that it waited for too."""

    def ended(self) -> bool:
        """Whether it is over."""
        if self.code is None:
            found, status, used = os.wait4(self.holder, os.WNOHANG)
            if found:
                self.processor = used.ru_utime + used.ru_stime
                self.code, self.seconds = os.waitstatus_to_exitcode(status), time.monotonic() - self.began
                self.hang_up()
        return self.code is not None

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; returns whether it is over."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL)
        return True

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if not self.ended():
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)
                self.hurts += 1

    def kill(self) -> None:
        """End it and all that it started in its group."""
        if not self.ended():
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(self.pid, signal.SIGKILL)
            self.wait(60)

    def hang_up(self) -> None:
        """Close its terminal."""
        if self.terminal is not None:
            os.close(self.terminal)
            self.terminal = None

    @property
    def said(self) -> str:
        """What it wrote."""
        return self.errors.read_text(errors="replace") if self.errors.exists() else ""

    def stands(self) -> str:
        """How it stands: how it ended or, where it still runs, what each of its threads is at; and its last words."""
        if self.ended():
            return f"`{self.what}` ended with {self.code}: {last_words(self.said)}"
        before = len(self.said)
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(self.pid, STACKS)
        self.wait(TO_WRITE_THEM)
        said = self.said
        return f"`{self.what}` still runs: {last_words(said[:before])}\n{said[before:].strip()[-STACKS_SHOWN:]}".strip()


def start(
    main: Callable[[], Any],
    arguments: Sequence[str],
    *,
    folder: Path,
    errors: Path,
    inside: Sequence[Callable[[], None]] = (),
    namespace: bool = False,
    terminal: bool = False,
    limits: Sequence[tuple[int, int]] = (),
) -> Process:
    """Start a program in a process group of its own.

    Args:
        main: the program.
        arguments: its sys.argv.
        folder: where it runs.
        errors: takes its stdout and stderr.
        inside: called in the process before the program.
        namespace: whether it has process ids of its own, so that it has the number 1 as others have.
        terminal: whether its stdin and stdout are a terminal, that `Process.hang_up` closes.
        limits: of `resource.setrlimit`, each with its number.
    """
    ours, theirs = os.openpty() if terminal else (None, None)
    receiving, sending = os.pipe()
    holder = os.fork()
    if holder:
        os.close(sending)
        if theirs is not None:
            os.close(theirs)
        told = os.read(receiving, 32)
        os.close(receiving)
        return Process(int(told or holder), errors, holder, ours, what=" ".join(arguments)[:200])
    try:
        os.close(receiving)
        if namespace:
            _enter_namespace(sending)
        os.setsid()
        _libc.prctl(WITH_PARENT, signal.SIGKILL)  # a lane that is ended leaves nobody behind
        _redirect(errors, None if theirs is None else os.ttyname(theirs))
        os.write(sending, b"" if namespace else str(os.getpid()).encode())
        for descriptor in (sending, *(one for one in (ours, theirs) if one is not None)):
            os.close(descriptor)
        os.chdir(folder)
        for which, most in limits:
            resource.setrlimit(which, (most, most))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        faulthandler.register(STACKS, file=2)
        sys.argv[:] = arguments
        _run(main, inside)
    finally:  # nothing of this process may go on as if it were the parent
        _say_what_went_wrong()
        os._exit(BROKEN)


def _enter_namespace(told: int) -> None:
    """Go on as process 1 of a namespace; whoever waits for the outer process gets the exit of the inner one."""
    unshare(NEW_PIDS | NEW_MOUNTS)
    inner = os.fork()
    if inner:
        os.write(told, str(inner).encode())
        os.close(told)
        code = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        if code < 0:
            signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
            os.kill(os.getpid(), -code)
        os._exit(code)
    mount("", Path("/"), PRIVATE)
    mount("proc", Path("/proc"))


def _redirect(errors: Path, terminal: str | None) -> None:
    written = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDWR)
    spoken = None if terminal is None else os.open(terminal, os.O_RDWR)  # which makes it the session's
    for descriptor, target in ((0, nothing if spoken is None else spoken), (1, spoken or written), (2, written)):
        os.dup2(target, descriptor)
    os.closerange(3, 3)


def _say_what_went_wrong() -> None:
    with suppress(BaseException):  # nobody reads it any more
        traceback.print_exc()


def _run(main: Callable[[], Any], inside: Sequence[Callable[[], None]]) -> NoReturn:
    """A program's life, with an interpreter's own end but for the unloading of what was imported."""
    atexit._clear()
    sys.modules["__main__"] = types.ModuleType("__main__")  # which worker processes would import too
    code: Any = 0
    try:
        for prepare in inside:
            prepare()
        code = main()
    except SystemExit as done:
        code = done.code
    except KeyboardInterrupt:
        _say_what_went_wrong()
        code = 130
    except BaseException:
        _say_what_went_wrong()
        code = 1
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        _say_what_went_wrong()
        code = 120
    os._exit(code if isinstance(code, int) else 1)
