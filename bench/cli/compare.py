"""`gradest compare`."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.guard import DONE, guarded


@guarded
def compare_verb(
    first: Annotated[Path, typer.Argument(help="Folder A.")],
    second: Annotated[Path, typer.Argument(help="Folder B.")],
) -> int:
    """Set two runs side by side: ratios B / A of variance and time, paired differences B - A of the test ELBO."""
    from bench.cli.tables import print_table
    from bench.report.compare.runs import compare

    rows, notes = compare(first, second)
    print_table(rows)
    for note in notes:
        print(note)
    return DONE
