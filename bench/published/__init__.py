"""The literature's tables as data, each with its source, and the rule that sets a number of ours beside one of them.

One file a table, `*.toml` in this folder; `table.py` says what it holds, `protocols.py` what the numbers were measured
of, `judge.py` how two numbers are compared. Nothing here measures: `bench/studies/published` does. Bounds that
trainings reached are in `trainings/` (`trained.py`); reports set them beside records of their protocol.
"""

from bench.published.judge import AGREES, CANNOT_TELL, DIFFERS, LEVEL, Judged, Number, judge
from bench.published.load import TABLES, read_table, tables
from bench.published.table import Cell, Margin, Source, Table

__all__ = [
    "AGREES",
    "CANNOT_TELL",
    "DIFFERS",
    "LEVEL",
    "TABLES",
    "Cell",
    "Judged",
    "Margin",
    "Number",
    "Source",
    "Table",
    "judge",
    "read_table",
    "tables",
]
