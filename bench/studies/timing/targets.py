"""The ratios that benchmarks noted, held against what they should be."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.report.text import span
from bench.studies import results
from bench.studies.results import Row

PLAIN, LEARNING = 1.2, 1.5
"""A step over its floor at most, without parameters of the estimator's own and with them."""
AT_LEAST = {
    "rows a second / floor": 0.7,
    "rows a second, compiled / floor": 0.9,
    "plain loop / moments, mnist": 2.0,
    "plain loop / moments, digits": 10.0,
}
OF_ESTIMATORS: dict[tuple[str, str | None], float] = {
    ("eager / compiled step, digits, 1 seed", "disarm"): 2.2,
    ("eager / compiled step, digits, 1 seed", "rebar"): 3.5,
}
"""At least, for one estimator."""
AT_MOST = {"10 seeds / 1 seed": 2.0}
COLUMNS = ("what", "subject", "threads", "compile_seconds", "median", "q25", "q75", "n", "bound", "met")


def _row(info: Mapping[str, Any]) -> Row:
    """What a benchmark noted; a ratio of a step has the record of a cell with it."""
    what, subject, record = info["what"], info.get("estimator"), info.get("record")
    least = OF_ESTIMATORS.get((what, subject)) or AT_LEAST.get(what)
    at_least = least is not None
    target = least if at_least else AT_MOST.get(what)
    if record:
        problem, device = record["config"]["problem"], record["config"]["device"]
        subject = subject or record["config"]["estimator"]["label"]
        what += f", {problem['label']}" + (f" on {device}" if device != "cpu" else "")
        # On small models a step is mostly calls, the floor's too, so that nothing is asked of it.
        target = (LEARNING if info["learns"] else PLAIN) if problem["dataset"].startswith("mnist") else None
    case = {"what": what, "subject": subject, "threads": info["threads"]}
    if (seconds := info.get("compile_seconds")) is not None:
        case["compile_seconds"] = seconds
    return Row.summary("ratio", info["ratio"], case=case, target=target, at_least=at_least)


def rows(benchmarks: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row for every benchmark of pytest-benchmark's JSON that noted a ratio, in order of the ratios."""
    found = [_row(benchmark["extra_info"]) for benchmark in benchmarks if "ratio" in benchmark["extra_info"]]
    return sorted(found, key=lambda row: (row.case["what"], row.case["threads"], row.value))


def plain(row: Row) -> dict[str, Any]:
    """For a table: the ratio with its interquartile range."""
    ratio = f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]"
    seconds = row.case.get("compile_seconds")
    case = {"what": row.case["what"], "subject": row.case["subject"], "threads": row.case["threads"]}
    compiling = "" if seconds is None else f"{seconds:.1f}"
    return case | {"median [IQR]": ratio, "n": row.n, "compile, s": compiling, "asked": row.bound, "met": row.met}


def markdown(table: Sequence[Row]) -> str:
    """The rows as a table with its caption."""
    rounds = [row.n for row in table]
    return results.page(
        "Ratios to the floor",
        "Both sides take turns in one process, a round each; the ratio is taken round by round: median [interquartile "
        f"range], n = {span(min(rounds), max(rounds))} rounds. Made by `tox -e timing`. The floor of a step "
        "makes the estimator's passes over f, and over networks of its own, with all that is drawn and learned given; "
        "that of moments is the bare forward evaluations of f. Where a side is compiled, the seconds of that "
        "stand apart, and no ratio holds them.",
        results.table(list(plain(table[0])), [[str(value) for value in plain(row).values()] for row in table]),
    )


def csv(table: Sequence[Row]) -> str:
    """The rows as CSV, numbers in full."""
    return results.csv([row.columns() for row in table], COLUMNS)
