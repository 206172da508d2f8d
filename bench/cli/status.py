"""`gradest status`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import complete
from bench.cli.guard import DONE, FAILED, JSON, guarded
from bench.cli.loudness import ASKED


@guarded
def status_verb(
    directory: Annotated[Path, typer.Argument(help="A run's folder.", autocompletion=complete.run)],
    as_json: JSON = False,
) -> int:
    """Say how far a run is, and what went wrong in it."""
    from bench.run.status import status

    found = status(directory)
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        print_status(found)
    return FAILED if found["failed"] or found["damaged"] else DONE


def print_status(found: dict[str, Any]) -> None:
    """A run's state in a few lines; the first of them alone where the command is quiet."""
    from bench.cli.tables import print_lines
    from bench.report.text import plural

    of, left = ("", "") if found["note"] else (f" of {found['cells']}", f"{found['pending']} to run, ")
    state = (
        f"suite {found['suite']} in {found['directory']}: {found['done']}{of} cells done, {left}"
        f"{found['failed']} went wrong, {found['diverged_seeds']} seeds diverged, {found['seconds']:.0f} s of work"
    )
    if count := len(found["damaged"]):
        state += f"; {plural(count, 'record')} {'is' if count == 1 else 'are'} damaged"
    begun = (
        f"in progress: {item['title']}: step {item['step']} of {item['steps']}, {item['seconds']:.0f} s so far"
        for item in found["in_progress"]
    )
    unwell = (f"{item['status']}: {item['title']}: {item['reason']}" for item in found["unwell"])
    damaged = (f"damaged: {item['path']} {item['why']}" for item in found["damaged"])
    lines = [state, *filter(None, [found["note"]]), *begun, *unwell, *damaged]
    print_lines(lines[:1] if ASKED.quiet else lines)
