"""What the command line answers to what is typed, in this process and folder: in time, and with nothing run."""

import contextlib
import io
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import bench.report.output
import bench.run.files
from bench.cli import main
from bench.cli.guard import BAD_INPUT, LONGEST
from bench.printed import visible
from estimators import registry

MOST = 5.0
"""Seconds that an answer may take."""
FIRST = "runs code of your own: "
"""What is said before an answer where something named is imported."""


class TooLong(BaseException):
    """An answer took longer; nothing catches it on its way."""


class Ended(BaseException):
    """What would take long has begun, so that the command was taken. Verbs take a SystemExit for one of own code."""


class Outcome(NamedTuple):
    """What came of one thing that was typed."""

    code: int | None
    """None where it ended in a traceback, or not at all."""
    said: str
    """On stderr, or the traceback."""
    seconds: float
    whole: bool = False
    """Whether all was asked for, however long."""

    @property
    def refused(self) -> bool:
        """Whether it was refused as it should be: in one line that is not too long."""
        lines = [line for line in self.said.splitlines() if not line.startswith(FIRST)]
        if self.code != BAD_INPUT or len(lines) != 1 or visible(lines[0]) != lines[0]:
            return False
        return self.whole or len(lines[0]) <= LONGEST


@contextmanager
def nothing_runs() -> Iterator[None]:
    """What would take long, or write elsewhere, ends instead, as if it were done."""

    def end(*_: object, **__: object) -> None:
        raise Ended

    def made(name: str, arguments: dict[str, Any], **_: object) -> None:
        registry.get(name).create(**arguments)
        raise Ended

    def inside(path: Path) -> None:
        if not path.absolute().resolve().is_relative_to(Path.cwd()):
            raise Ended

    def without_figures(records: Any, out: Path, formats: set[str], *given: Any, **more: Any) -> list[Path]:
        inside(out)
        return report(records, out, formats & {"md", "csv", "tex"} or {"md"}, *given, **more)

    def written(path: Path, content: bytes) -> None:
        inside(path)
        write(path, content)

    report, write = bench.report.output.write, bench.run.files.write_atomic
    with (
        mock.patch("bench.run.runner.run_suite", end),
        mock.patch("bench.report.output.write", without_figures),
        mock.patch("bench.run.files.write_atomic", written),
        mock.patch("estimators.checks.certify", made),
        mock.patch("bench.run.probe.slowness", return_value=1.0),
    ):
        yield


def _too_long(*_: object) -> None:
    raise TooLong


def typed(*arguments: str, within: float = MOST) -> Outcome:
    """What the command line answers, in this process and folder, within so many seconds."""
    out, err, started = io.StringIO(), io.StringIO(), time.perf_counter()
    path = list(sys.path)
    before = signal.signal(signal.SIGALRM, _too_long)
    code: int | None = None
    try:
        with (
            mock.patch.object(sys, "argv", ["gradest", *arguments]),
            nothing_runs(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            signal.setitimer(signal.ITIMER_REAL, within)
            main()
    except SystemExit as ended:
        code, said = ended.code if isinstance(ended.code, int) else 0, err.getvalue()
    except Ended:
        code, said = 0, err.getvalue()
    except TooLong:
        said = ""
    except BaseException:
        said = traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.path[:] = path
    whole = any(one in ("-v", "--verbose") for one in arguments)
    return Outcome(code, said, time.perf_counter() - started, whole)
