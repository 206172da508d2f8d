"""Matplotlib as it comes, whatever the person who called set up for their own figures.

A notebook names its backend in `MPLBACKEND` to every process that it starts. Where that backend's package is missing,
importing matplotlib would fail for want of it, though files need none.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

_first = "matplotlib" not in sys.modules
_named = os.environ.pop("MPLBACKEND", None)
try:
    import matplotlib
finally:
    if _named is not None:
        os.environ["MPLBACKEND"] = _named
if _first and _named:  # as the import would have done, for a caller's own figures
    with suppress(ValueError):
        matplotlib.rcParams["backend"] = _named


@contextmanager
def own_settings(settings: Mapping[Any, Any]) -> Iterator[None]:
    """Matplotlib's defaults and these settings, and nothing of a matplotlibrc; afterwards all is as it was."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        yield
