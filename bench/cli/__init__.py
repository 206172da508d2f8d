"""The command line: `gradest VERB`, each verb a file here.

Verbs are thin and import what they need themselves, so that `--help` answers at once.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.atlas import atlas_verb
from bench.cli.check import check_verb
from bench.cli.compare import compare_verb
from bench.cli.doctor import doctor_verb
from bench.cli.guard import BAD_INPUT, INTERRUPTED, complain
from bench.cli.list import list_verb
from bench.cli.loudness import ASKED, QUIET, TRACEBACK, VERBOSE
from bench.cli.recommend import recommend_verb
from bench.cli.report import report_verb
from bench.cli.run import run_verb
from bench.cli.status import status_verb
from bench.printed import open_what_is_closed, show_traceback

VERBS = {
    "list": list_verb,
    "check": check_verb,
    "run": run_verb,
    "status": status_verb,
    "report": report_verb,
    "compare": compare_verb,
    "recommend": recommend_verb,
    "atlas": atlas_verb,
    "doctor": doctor_verb,
}
"""In the order in which `--help` shows them."""

app = typer.Typer(
    name="gradest",
    help="Benchmark gradient estimators: bias, variance, ELBO and wall clock, with intervals.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # rich's own would take the [key=value] of a help text for a tag, and leave it out
)
for _name, _verb in VERBS.items():
    app.command(_name)(_verb)


def _version(asked: bool) -> None:
    if asked:
        from bench.run.version import words

        print(words())
        raise typer.Exit


@app.callback()
def _everywhere(
    quiet: QUIET = False,
    verbose: VERBOSE = False,
    traceback: TRACEBACK = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which gradest this is.")
    ] = False,
) -> None:
    """Benchmark gradient estimators: bias, variance, ELBO and wall clock, with intervals."""
    ASKED.quiet, ASKED.verbose, ASKED.traceback = quiet, verbose, traceback


def _have_a_home() -> None:
    """Where a user has neither HOME nor a name, as some in containers, be at home where those are said to be.

    Libraries that look for a cache or a configuration there end in a traceback otherwise.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.sep


def main() -> None:
    """Entry point of `gradest` and `python -m bench`."""
    open_what_is_closed()
    _have_a_home()
    sys.excepthook = show_traceback
    try:
        code = app(prog_name="gradest", standalone_mode=False)
    except typer.TyperException as error:  # a fault that the parser found
        typed = shlex.join(["gradest", *sys.argv[1:]])
        message = error.format_message()  # empty where no argument was given and the help was shown
        stop = "" if message.endswith((".", "?")) else "."
        message = message.replace("Value error, ", "")
        code = complain(f"{message}{stop} You typed: {typed} (gradest --help)") if message else BAD_INPUT
    except typer.Abort:
        code = INTERRUPTED
    sys.exit(code)
