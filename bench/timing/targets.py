"""The ratios that benchmarks noted, held against what they should be."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from bench.report.tables.render import pipe
from bench.report.text import spread

PLAIN, LEARNING = 1.2, 1.5
"""A step over its floor at most, without parameters of the estimator's own and with them."""
BOUNDS: dict[str, tuple[str, float]] = {
    "rows a second / floor": ("at least", 0.7),
    "plain loop / moments, mnist": ("at least", 2.0),
    "plain loop / moments, digits": ("at least", 10.0),
    "10 seeds / 1 seed": ("at most", 2.0),
}


class Row(NamedTuple):
    """One ratio."""

    what: str
    subject: str
    threads: int
    median: float
    q25: float
    q75: float
    n: int
    bound: str
    """In words, empty where nothing is asked."""
    met: str
    """yes, no, or empty; the median decides."""

    def plain(self) -> dict[str, Any]:
        """For a table: the ratio with its interquartile range."""
        ratio = f"{self.median:.2f} [{self.q25:.2f}, {self.q75:.2f}]"
        return {
            "what": self.what, "subject": self.subject, "threads": self.threads, "median [IQR]": ratio, "n": self.n,
            "asked": self.bound, "met": self.met,
        }  # fmt: skip


def _bound(info: Mapping[str, Any]) -> tuple[str, float] | None:
    if "record" not in info:
        return BOUNDS.get(info["what"])
    if not info["record"]["config"]["problem"]["dataset"].startswith("mnist"):
        return None  # on small models a step is mostly calls, the floor's too
    return "at most", LEARNING if info["learns"] else PLAIN


def rows(benchmarks: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row for every benchmark of pytest-benchmark's JSON that noted a ratio, in order of the ratios."""
    found = []
    for info in (benchmark["extra_info"] for benchmark in benchmarks):
        if "ratio" not in info:
            continue
        record = info.get("record")
        subject = info.get("estimator") or f"{record['config']['estimator']['label']}"
        what = info["what"] + (f", {record['config']['problem']['label']}" if record else "")
        if record and record["config"]["device"] != "cpu":
            what += f" on {record['config']['device']}"
        ratio, bound = info["ratio"], _bound(info)
        words, met = "", ""
        if bound is not None:
            words = f"{bound[0]} {bound[1]:g}"
            kept = ratio["median"] <= bound[1] if bound[0] == "at most" else ratio["median"] >= bound[1]
            met = "yes" if kept else "no"
        found.append(
            Row(what, subject, info["threads"], ratio["median"], ratio["q25"], ratio["q75"], ratio["n"], words, met)
        )
    return sorted(found, key=lambda row: (row.what, row.threads, row.median))


def markdown(table: Sequence[Row]) -> str:
    """The rows as a table with its caption."""
    rounds = [row.n for row in table]
    lines = [
        "# Ratios to the floor",
        "",
        "Both sides take turns in one process, a round each; the ratio is taken round by round: median [interquartile "
        f"range], n = {spread(min(rounds), max(rounds))} rounds. Made by `tox -e timing`. The floor of a step "
        "makes the estimator's passes over f, and over networks of its own, with all that is drawn and learned given; "
        "that of moments is the bare forward evaluations of f.",
        "",
    ]
    cells = [[str(value) for value in row.plain().values()] for row in table]
    return "\n".join([*lines, *pipe(list(table[0].plain()), cells)]) + "\n"


def csv(table: Sequence[Row]) -> str:
    """The rows as CSV, numbers in full."""
    return pd.DataFrame(table, columns=Row._fields).to_csv(index=False, lineterminator="\n")
