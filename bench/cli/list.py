"""`gradest list`."""

import json
from enum import StrEnum
from typing import Annotated

import typer

from bench.cli.guard import DONE, JSON, guarded


class Listed(StrEnum):
    """What `list` lists."""

    estimators = "estimators"
    problems = "problems"
    datasets = "datasets"
    measurements = "measurements"
    suites = "suites"


@guarded
def list_verb(what: Annotated[Listed, typer.Argument(help="What to list.")], as_json: JSON = False) -> int:
    """List what there is: estimators, problems, data sets, measurements, suites; --json has all that is known."""
    from bench.cli.catalogue import rows, short
    from bench.cli.tables import print_table

    if as_json:
        print(json.dumps(rows(what.value), indent=1))
    else:
        print_table(short(what.value))
    return DONE
