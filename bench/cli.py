"""The command line. Verbs are thin and import what they need themselves, so that `--help` answers at once."""

import json
import os
import shlex
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="gradest",
    help="Benchmark gradient estimators: bias, variance, ELBO and wall clock, with intervals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class Listed(StrEnum):
    """What `list` lists."""

    estimators = "estimators"
    problems = "problems"
    datasets = "datasets"
    suites = "suites"


JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def complain(message: str) -> int:
    """One line on stderr; returns the exit code of bad input."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return BAD_INPUT


def verb(name: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Register a verb; what a person typed wrong becomes one line and exit code 2, never a traceback."""

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        @wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> int:
            # A person's own estimator lies where they are; worker processes must find it too.
            sys.path.append(os.getcwd())
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))
            from bench.datasets import DataError
            from estimators.errors import BadInput

            try:
                return function(*args, **kwargs)
            except (BadInput, DataError) as error:
                return complain(str(error))
            except OSError as error:  # a folder that cannot be written, a full disk
                return complain(f"{error.strerror or error}: {error.filename or 'unknown file'}")

        app.command(name)(guarded)
        return guarded

    return decorate


@verb("list")
def list_verb(what: Annotated[Listed, typer.Argument(help="What to list.")], as_json: JSON = False) -> int:
    """List what there is: estimators, problems, data sets, suites; --json has all that is known of them."""
    from bench.catalogue import rows, short
    from bench.terminal import print_table

    if as_json:
        print(json.dumps(rows(what.value), indent=1))
    else:
        print_table(short(what.value))
    return DONE


@verb("check")
def check_verb(
    estimator: Annotated[str, typer.Argument(help="NAME or module:Class, with options as NAME[key=value,...].")],
    seed: Annotated[int, typer.Option(min=0, help="Of all noise; the same seed gives the same certificate.")] = 0,
    as_json: JSON = False,
) -> int:
    """Certify an estimator against the exact gradient and its contract: exit code 0 certified, 1 refuted."""
    from bench.check import check

    return DONE if check(estimator, seed, as_json) else FAILED


@verb("run")
def run_verb(
    suite: Annotated[str, typer.Argument(help="A suite's name, or a path that ends in .toml.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the run; runs/SUITE by default.")] = None,
    estimators: Annotated[
        list[str] | None,
        typer.Option("--estimator", "-e", help="NAME[key=value,...] in place of the suite's own; repeatable."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds to train.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes; above 1 needs the extra `cluster`.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run; write nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run cells again that are done.")] = False,
) -> int:
    """Run a suite from where an earlier run stopped, then write its report."""
    from bench.suite.load import load_suite, override
    from bench.terminal import run_and_report, show_plan

    chosen = override(load_suite(suite), estimators=estimators, seeds=seeds, device=device)
    folder = out or Path("runs") / chosen.name
    if dry_run:
        show_plan(chosen, folder)
        return DONE
    return run_and_report(chosen, folder, workers=workers, force=force)


@verb("status")
def status_verb(directory: Annotated[Path, typer.Argument(help="A run's folder.")], as_json: JSON = False) -> int:
    """Say how far a run is, and what went wrong in it."""
    from bench.run.status import status
    from bench.terminal import print_status

    found = status(directory)
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        print_status(found)
    return FAILED if found["failed"] else DONE


@verb("report")
def report_verb(
    directories: Annotated[list[Path], typer.Argument(help="Folders of runs; several are read as one.")],
    formats: Annotated[str, typer.Option("--format", help="Some of md,tex,csv,html,pdf,svg,png.")] = "",
    out: Annotated[Path | None, typer.Option(help="Where to write; the run's own folder by default.")] = None,
) -> int:
    """Make tables, figures and report.html from records."""
    from bench.terminal import report

    return report(directories, formats, out)


@verb("compare")
def compare_verb(
    first: Annotated[Path, typer.Argument(help="Folder A.")],
    second: Annotated[Path, typer.Argument(help="Folder B.")],
) -> int:
    """Set two runs side by side: ratios B / A of variance and time, paired differences B - A of the test ELBO."""
    from bench.compare import compare
    from bench.terminal import print_table

    rows, notes = compare(first, second)
    print_table(rows)
    for note in notes:
        print(note)
    return DONE


@verb("doctor")
def doctor_verb() -> int:
    """Say what this machine has: versions, devices, data files, optional packages."""
    from bench.doctor import examine
    from bench.terminal import print_table

    print_table(examine())
    return DONE


def main() -> None:
    """Entry point of `gradest` and `python -m bench`."""
    try:
        code = app(standalone_mode=False)
    except typer.TyperException as error:  # what the parser itself rejects
        typed = shlex.join(["gradest", *sys.argv[1:]])
        message = error.format_message()  # empty where the help was shown, for want of any argument
        stop = "" if message.endswith((".", "?")) else "."
        message = message.replace("Value error, ", "")
        code = complain(f"{message}{stop} You typed: {typed} (gradest --help)") if message else BAD_INPUT
    except typer.Abort:
        code = INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
