"""`gradest check`: a certificate on the terminal or as JSON."""

import json
import os
import shutil
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import complete
from bench.cli.guard import DONE, FAILED, JSON, guarded
from bench.cli.loudness import ASKED

if TYPE_CHECKING:
    from estimators.checks import Certificate, Result

MARKS = {"passed": "ok", "failed": "FAILED", "measured": "measured", "not applicable": "-"}


@guarded
def check_verb(
    estimator: Annotated[
        str,
        typer.Argument(
            help="NAME or module:Class, with options as NAME[key=value,...].", autocompletion=complete.estimator
        ),
    ],
    seed: Annotated[int, typer.Option(min=0, help="Of all noise; the same seed gives the same certificate.")] = 0,
    as_json: JSON = False,
) -> int:
    """Certify an estimator against the exact gradient and its contract: exit code 0 certified, 1 refuted."""
    return DONE if check(estimator, seed, as_json) else FAILED


def one_thread() -> None:
    """Let torch of this process compute with one thread, and keep the memory that it frees."""
    import torch

    from bench.training.memory import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()


def workers() -> int:
    """Threads for a certificate, one a core; torch itself then needs but one."""
    one_thread()
    return max(1, min(os.cpu_count() or 1, 8))


def check(estimator: str, seed: int, as_json: bool) -> bool:
    """Print the certificate of `NAME[key=value,...]` or `module:Class[...]`; returns whether it is not refuted.

    Raises:
        BadInput: no such estimator, or options that it does not take.
    """
    from bench.cli.tables import print_lines
    from bench.config import typed_estimator
    from estimators.checks import certify

    wanted = typed_estimator(estimator)
    progress = None if as_json or ASKED.quiet else _print
    certificate = certify(wanted.name, wanted.arguments(), seed=seed, workers=workers(), progress=progress)
    if as_json:
        print(json.dumps(certificate.plain(), indent=1, allow_nan=False))
    else:
        print_lines([verdict(certificate)])
    return certificate.verdict != "refuted"


def _print(result: "Result") -> None:
    """One check: its outcome, its name, its sentence."""
    start = f"{MARKS[result.status]:9} {result.family:12} {result.check:13} "
    width = max(shutil.get_terminal_size((120, 24)).columns, len(start) + 40)
    indent = " " * len(start)
    print(textwrap.fill(result.message, width, initial_indent=start, subsequent_indent=indent), flush=True)
    for warning in result.warnings:
        print(textwrap.fill(f"warning: {warning}", width, initial_indent=indent, subsequent_indent=indent), flush=True)


def verdict(certificate: "Certificate") -> str:
    """The verdict in a line."""
    from estimators.checks import ALPHA

    count, failed = len(certificate.results), len(certificate.failures)
    words = {
        "certified": f"certified: no check of {count} failed",
        "measured": f"declared biased and measured: no check of {count} failed",
        "refuted": f"refuted: {failed} of {count} checks failed",
    }[certificate.verdict]
    odds = f"seed {certificate.seed}; nominal rate of false refutations {ALPHA:g}"
    return f"{certificate.estimator} is {words} ({certificate.seconds:.0f} s, {odds})"
