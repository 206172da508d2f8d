"""Processes of the command line, forked from one that has imported the packages of others and nothing of ours.

Importing torch and the packages of the report takes seconds, and is the same for every call. A process here is new in
all else: it imports bench and estimators for itself, and has a folder, an environment, outputs and an exit code of its
own; only the load of the machine, which is that of the tests beside it, is hidden from it, and figures are drawn in one
format alone where a test does not ask for all: a run of a second draws for several. What concerns the imports, worker
processes or an interrupt is tested in processes from the shell.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

OF_OTHERS = (
    "altair",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.backends.backend_svg",
    "matplotlib.pyplot",
    "pandas",
    "pooch",
    "pyarrow.parquet",
    "pydantic",
    "rich.progress",
    "rich.table",
    "scipy.stats",
    "seaborn",
    "torch._dynamo",  # which the first optimiser of a process imports
    "typer.rich_utils",
)
"""What is imported once."""
DRAWN = ("png",)
"""Formats in which figures are drawn: all axes are laid out and all marks drawn in one as in the others."""
EVERY_FORMAT = ("pdf", "svg", "png")


def unloaded() -> tuple[float, float, float]:
    """The load average of a machine that does nothing else, on which no timing cell waits before it measures."""
    return 0.0, 0.0, 0.0


class Fork(NamedTuple):
    """A process that was started; `wait` must be called."""

    pid: int
    folder: Path
    """Of its outputs."""

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Its exit code, minus the number of a signal that ended it, and what it wrote."""
        code = int(_asked({"wait": self.pid}))
        out, err = ((self.folder / name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(self.pid, code, out, err)


def start(
    module: str, *arguments: str, cwd: Path, figures: Sequence[str] = DRAWN, report: bool = True, **environment: str
) -> Fork:
    """Start what `python -m module arguments` does in this folder and environment.

    Args:
        module: as `python -m` takes it.
        arguments: of its command line.
        cwd: the folder.
        figures: formats in which matplotlib draws; files in others are there and hold no figure.
        report: whether a run writes one, which takes longer than a run of a second.
        environment: what is added to that of this process.
    """
    folder = Path(tempfile.mkdtemp(dir=_outputs().name))
    request = {"module": module, "arguments": arguments, "cwd": str(cwd), "folder": str(folder)}
    request |= {"figures": figures, "report": report}
    return Fork(int(_asked(request | {"environment": os.environ | environment})), folder)


def forked(
    module: str, *arguments: str, cwd: Path, figures: Sequence[str] = DRAWN, report: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The same to its end."""
    return start(module, *arguments, cwd=cwd, figures=figures, report=report, **environment).wait()


def _asked(request: dict[str, Any]) -> str:
    server = _server()
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    return server.stdout.readline()


@cache
def _server() -> "subprocess.Popen[str]":
    server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.communicate)  # it ends where its input does
    return server


@cache
def _outputs() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory()


def _draw_in(formats: Sequence[str]) -> None:
    """Let matplotlib draw in these formats alone."""
    from matplotlib.figure import Figure

    draw = Figure.savefig

    def save(figure: Figure, file: BinaryIO, *, format: str, **options: Any) -> None:
        if format in formats:
            draw(figure, file, format=format, **options)
        else:
            file.write(b"not drawn")

    Figure.savefig = save  # type: ignore[method-assign, assignment]


def _become(request: dict[str, Any]) -> NoReturn:
    """Make of a fork the process that was asked for, and run it to its end."""
    folder = Path(request["folder"])
    for descriptor, target in enumerate((os.devnull, folder / "out", folder / "err")):
        opened = os.open(target, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = request["cwd"]
    sys.argv[1:] = request["arguments"]
    if set(request["figures"]) != set(EVERY_FORMAT):
        _draw_in(request["figures"])
    if not request["report"]:
        importlib.import_module("bench.cli.report").write_report = lambda folders, out: None  # type: ignore[attr-defined]
    code: Any = 0
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as done:
        code = done.code
    except BaseException:
        traceback.print_exc()
        code = 1
    # An interpreter's own end, but for the unloading of what was imported, which takes a second.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def _serve() -> None:
    """For every line of the input fork, or wait for a fork, and say its number or what it ended with."""
    for name in OF_OTHERS:
        importlib.import_module(name)
    os.getloadavg = unloaded
    gc.freeze()
    while line := sys.stdin.readline():
        request = json.loads(line)
        if "wait" in request:
            print(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]), flush=True)
        elif child := os.fork():
            print(child, flush=True)
        else:
            _become(request)


if __name__ == "__main__":
    _serve()
