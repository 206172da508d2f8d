"""Where worker processes look for what they import: nowhere that this process does not.

They are given this one's path, in which the present folder comes last. Before that they import some of the standard
library, as each `python -c` does, from the present folder first: a file called random.py there would be run in the
place of the real one, unless PYTHONSAFEPATH is set.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

SAFE = "PYTHONSAFEPATH"


@contextmanager
def safe_path() -> Iterator[None]:
    """Processes that are started inside do not look into the present folder first."""
    before = os.environ.get(SAFE)
    os.environ[SAFE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE]
        else:
            os.environ[SAFE] = before
