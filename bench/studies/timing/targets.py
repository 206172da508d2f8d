"""The ratios that benchmarks noted, held against what they should be."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.report.text import span
from bench.studies import results
from bench.studies.results import Row

PLAIN, LEARNING = 1.2, 1.5
"""A step over its floor at most, without parameters of the estimator's own and with them."""
AT_LEAST = {"rows a second / floor": 0.7, "plain loop / moments, mnist": 2.0, "plain loop / moments, digits": 10.0}
AT_MOST = {"10 seeds / 1 seed": 2.0}
COLUMNS = ("what", "subject", "threads", "median", "q25", "q75", "n", "bound", "met")


def _row(info: Mapping[str, Any]) -> Row:
    """What a benchmark noted; a ratio of a step has the record of a cell with it."""
    what, subject, record = info["what"], info.get("estimator"), info.get("record")
    target = AT_LEAST.get(what, AT_MOST.get(what))
    at_least = what in AT_LEAST
    if record:
        problem, device = record["config"]["problem"], record["config"]["device"]
        subject = subject or record["config"]["estimator"]["label"]
        what += f", {problem['label']}" + (f" on {device}" if device != "cpu" else "")
        # On small models a step is mostly calls, the floor's too, so that nothing is asked of it.
        target = (LEARNING if info["learns"] else PLAIN) if problem["dataset"].startswith("mnist") else None
    case = {"what": what, "subject": subject, "threads": info["threads"]}
    return Row.summary("ratio", info["ratio"], case=case, target=target, at_least=at_least)


def rows(benchmarks: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row for every benchmark of pytest-benchmark's JSON that noted a ratio, in order of the ratios."""
    found = [_row(benchmark["extra_info"]) for benchmark in benchmarks if "ratio" in benchmark["extra_info"]]
    return sorted(found, key=lambda row: (row.case["what"], row.case["threads"], row.value))


def plain(row: Row) -> dict[str, Any]:
    """For a table: the ratio with its interquartile range."""
    ratio = f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]"
    return row.case | {"median [IQR]": ratio, "n": row.n, "asked": row.bound, "met": row.met}


def markdown(table: Sequence[Row]) -> str:
    """The rows as a table with its caption."""
    rounds = [row.n for row in table]
    return results.page(
        "Ratios to the floor",
        "Both sides take turns in one process, a round each; the ratio is taken round by round: median [interquartile "
        f"range], n = {span(min(rounds), max(rounds))} rounds. Made by `tox -e timing`. The floor of a step "
        "makes the estimator's passes over f, and over networks of its own, with all that is drawn and learned given; "
        "that of moments is the bare forward evaluations of f.",
        results.table(list(plain(table[0])), [[str(value) for value in plain(row).values()] for row in table]),
    )


def csv(table: Sequence[Row]) -> str:
    """The rows as CSV, numbers in full."""
    return results.csv([row.columns() for row in table], COLUMNS)
