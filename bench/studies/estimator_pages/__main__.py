"""Write the pages, their figures, and their part of the site's navigation."""

import sys
from pathlib import Path

from bench.studies.estimator_pages.site import write
from estimators.errors import BadInput

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m bench.studies.estimator_pages docs/estimators")
    try:
        write(Path(sys.argv[1]))
    except BadInput as error:
        sys.exit(str(error))
