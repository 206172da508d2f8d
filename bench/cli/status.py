"""`gradest status`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli import complete
from bench.cli.guard import DONE, FAILED, JSON, reading
from bench.cli.loudness import ASKED
from bench.cli.paths import path
from bench.cli.unwell import where


@reading
def status_verb(
    directory: Annotated[Path, typer.Argument(parser=path, help="A run's folder.", autocompletion=complete.run)],
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
    from bench.cli.dry_run import in_time
    from bench.cli.tables import print_lines
    from bench.report.text import plural

    of, left = ("", "") if found["note"] else (f" of {found['cells']}", f"{found['pending']} to run, ")
    more = f"{len(found['running'])} running, " if found["running"] else ""
    state = (
        f"suite {found['suite']} in {found['directory']}: {found['done']}{of} cells done, {more}{left}"
        f"{found['failed']} went wrong, {found['diverged_seeds']} seeds diverged, {found['seconds']:.0f} s of work"
    )
    if found["seconds_left"] is not None:
        state += f", about {in_time(found['seconds_left'])} left"
    if count := len(found["damaged"]):
        state += f"; {plural(count, 'record')} {'is' if count == 1 else 'are'} damaged"
    begun = (
        f"in progress: {item['title']}: step {item['step']} of {item['steps']}, {item['seconds']:.0f} s so far"
        for item in found["in_progress"]
    )
    running = (f"running: {item['title']} ({item['by']})" for item in found["running"])
    wrong = (
        f"{item['status']}: {item['title']}: {item['reason']}{where(item['traceback'])}" for item in found["unwell"]
    )
    damaged = (f"damaged: {item['path']} {item['why']}" for item in found["damaged"])
    lines = [state, *filter(None, [found["note"]]), *running, *begun, *wrong, *damaged]
    print_lines(lines[:1] if ASKED.quiet else lines)
    if ASKED.traceback:
        print("\n".join(item["traceback"] for item in found["unwell"] if item["traceback"]))
