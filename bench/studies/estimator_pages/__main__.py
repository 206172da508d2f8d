"""Write the pages, their figures, and their part of the site's navigation."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.studies.estimator_pages.site import write
from estimators.errors import BadInput


def main(out: Annotated[Path, typer.Argument(help="Folder of the pages, docs/estimators.")]) -> None:
    """Write a page an estimator, its figure, and the navigation's part between its two comments."""
    try:
        write(out)
    except BadInput as error:
        sys.exit(str(error))


if __name__ == "__main__":
    typer.run(main)
