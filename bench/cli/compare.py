"""`gradest compare`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import complete
from bench.cli.guard import DONE, FAILED, JSON, reading
from bench.cli.loudness import ASKED
from bench.cli.paths import path


@reading
def compare_verb(
    first: Annotated[Path, typer.Argument(parser=path, help="Folder A.", autocompletion=complete.run)],
    second: Annotated[Path, typer.Argument(parser=path, help="Folder B.", autocompletion=complete.run)],
    every: Annotated[bool, typer.Option("--all", help="Show also what did not change.")] = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            help="Exit with 1 if any of these is found, for CI: changed, missing, slower, faster, higher-variance, "
            "lower-variance, higher-elbo, lower-elbo, other-numbers; repeatable, or a list with commas.",
            autocompletion=complete.change,
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option(parser=path, help="Write the comparison as a page, too.")] = None,
    as_json: JSON = False,
) -> int:
    """Say what changed from run A to run B: step times, variances, test ELBOs; then settings, provenance and a table.

    Ratios B / A of variance and step time, paired differences B - A of the test ELBO, with 95 % intervals.
    """
    from bench.cli.tables import UNBOUNDED, print_damaged, print_json, print_lines, print_table, width
    from bench.report.compare.runs import compare
    from bench.report.compare.shown import left, long, page, plain, short, shown
    from bench.report.compare.verdict import FAILS, judge
    from bench.run.files import write_atomic
    from estimators.errors import BadInput, unknown

    asked = [name.strip() for given in fail_on or () for name in given.split(",")]
    for name in asked:
        if name not in FAILS:
            raise BadInput(unknown("change", name, FAILS))
    verdict = judge(compare(first, second))
    if html is not None:
        write_atomic(html, page(verdict).encode())
    failed = verdict.fails(asked)
    if as_json:
        print_json(plain(verdict) | {"failed_on": failed})
        return FAILED if failed else DONE
    if ASKED.quiet:
        print(verdict.sentence())
        print_damaged(verdict.comparison.damaged)
        return FAILED if failed else DONE
    print_lines(verdict.lines())
    of = verdict.comparison
    print_lines([*of.left_out, *(found.words() for found in (*of.settings, *of.provenance))])
    every = every or ASKED.verbose
    if every:
        both = zip(of.names, of.alone, strict=True)
        print_lines(f"in {name} alone: {title}" for name, titles in both for title in titles)
    if rows := [(long if width() == UNBOUNDED else short)(one) for one in shown(verdict, everything=every)]:
        print()
        print_table(rows, whole=("change", "estimate", "p (Holm)"))
    if not every and left(verdict):
        print(left(verdict))
    if html is not None:
        print(f"page: {html}")
    if failed:
        print(f"--fail-on: found {', '.join(failed)}")
    return FAILED if failed else DONE
