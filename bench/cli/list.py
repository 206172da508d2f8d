"""`gradest list`."""

from enum import StrEnum
from typing import Annotated

import typer

from bench.cli import complete
from bench.cli.guard import DONE, JSON, guarded


class Listed(StrEnum):
    """What `list` lists."""

    estimators = "estimators"
    problems = "problems"
    datasets = "datasets"
    measurements = "measurements"
    suites = "suites"


@guarded
def list_verb(
    what: Annotated[Listed, typer.Argument(help="What to list.")],
    family: Annotated[
        str | None, typer.Option(help="Estimators or problems for this family of q.", autocompletion=complete.family)
    ] = None,
    unbiased: Annotated[
        bool | None, typer.Option("--unbiased/--biased", help="Estimators declared so.", show_default=False)
    ] = None,
    needs: Annotated[
        str | None,
        typer.Option(
            help="Estimators that ask of f: values, its gradient, or to be relaxed.",
            autocompletion=complete.among(*complete.NEEDS),
        ),
    ] = None,
    bound: Annotated[
        str | None,
        typer.Option(help="Estimators of this bound: elbo or iwae.", autocompletion=complete.among(*complete.BOUNDS)),
    ] = None,
    as_json: JSON = False,
) -> int:
    """List what there is: estimators, problems, data sets, measurements, suites; --json has all that is known."""
    from bench.cli.catalogue import BELOW, Wanted, chosen, short
    from bench.cli.tables import print_json, print_table

    found = chosen(what.value, Wanted(family, unbiased, needs, bound))
    if as_json:
        print_json(found)
    else:
        print_table(short(what.value, found), below=BELOW[what.value])
    return DONE
