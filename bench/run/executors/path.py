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
def safe_path(*set_inside: str) -> Iterator[None]:
    """Processes that are started inside do not look into the present folder first; afterwards all is as it was.

    Args:
        set_inside: further variables of the environment that somebody sets inside.
    """
    before = {name: os.environ.get(name) for name in (SAFE, *set_inside)}
    os.environ[SAFE] = "1"
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
