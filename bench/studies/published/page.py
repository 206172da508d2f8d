"""The page: the rule, what came of it, and every cell."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from bench.published import AGREES, CANNOT_TELL, DIFFERS, LEVEL, Table
from bench.studies import results
from bench.studies.results import Row, Run

VERDICTS = (AGREES, DIFFERS, CANNOT_TELL)
RULE = f"""A published number is known up to an *error* (of rounding, or of reading a figure: a bound) and, where it was
sampled, up to a *standard error*; ours up to the tolerance of an integral or, where it was sampled, up to its standard
error. With e the sum of the errors, s the root of the summed squares of the standard errors and t the two-sided
{LEVEL:.0%} quantile of Student's law, e + t s is what the two may be apart where they mean the same: the *reach*.

- **{DIFFERS}**: they are further apart. Chance alone does that in at most {LEVEL:.0%} of cells that were sampled, and
  in none where both are exact.
- **{AGREES}**: they are not, and the reach is at most the difference that matters, which each table states.
- **{CANNOT_TELL}**: they are not, and might not be either had they been different by as much as matters."""
READINGS = """Pixels, digits and draws of the source are a budget too. The difference that matters and the resolution of
a reading stand in the tables' files. Some were set once a first comparison had shown which readings to look at again.
In it three cells of the ARMS figure differed, whose points are draws and had been given no standard error; one of
Double CV's, whose points are draws too and whose axis has no ticks; and three of Mohamed et al.'s, one read where
curves cross, one where a curve stands like a wall, and one beyond the axes, which is no cell now. Where a cell has an
error of its own for that, it says so, and does not agree by it. What was judged without any such choice are the numbers
of an authors' file and RELAX's curves."""
UNREAD = """Of two further experiments no number was found that can be read.

- Mohamed, Rosca, Figurnov and Mnih 2019, arXiv:1906.10652, Bayesian logistic regression on the breast-cancer data: the
  paper's text could not be read beyond its beginning. Its repository (`github.com/google-deepmind/mc_gradients` at
  `b99c2a3059d0`) has the program and its settings, but no ELBO, accuracy or variance that came of them; what its
  notebook keeps are plots of the costs under a Gaussian, and errors of integration. A repository that runs the program
  again (`github.com/ignasa007/MC-Gradient-Estimators-Runtime-Analysis` at `75a732aa9239`) keeps times alone. The
  experiment itself was run by those settings: `results/mc-gradients`.
- The signal-to-noise ratio of gradients of importance-weighted bounds on a Gaussian toy: Rainforth et al. 2018,
  arXiv:1802.04537, and, with the doubly reparameterised gradient, Tucker et al. 2018, arXiv:1810.04152. Neither text
  could be read beyond its beginning, and the released program of the second (`dreg_estimators` of
  `github.com/google-research/google-research`) prints no result. `github.com/vlievin/ovis` draws such ratios for a toy
  of the same kind, as a picture, which has not been read."""
COLUMNS = """A number without brackets is exact: an enumeration, or an integral over the estimator's noise. One with
brackets was sampled, with its 95 % interval from n draws. The difference is ours minus the published number, and like
the reach it is in per cent of the published number, or, without a sign of per cent, as it is. The hash is
of the protocol, with every factor, and of our estimator with its options; cells of one hash were measured at once, in
the seconds that stand beside each of them, those for simulating the published standard error included."""


def markdown(known: Mapping[str, Table], runs: Sequence[Run]) -> str:
    """The page of runs, each over the table of its name."""
    of = {run.name: run.rows for run in runs}
    tables = {name: table for name, table in known.items() if name in of}
    rows = [row for run in runs for row in run.rows]
    made = dict.fromkeys(results.made_on(run.provenance) for run in runs)
    counts = Counter(row.case["verdict"] for row in rows)
    exact = sum(row.case["method"] == "exact" for row in rows)
    numbers = {(row.case["table"], row.case["published_as"], *_place(row), row.case["published"]) for row in rows}
    tried = (
        f"{len(rows)} cells were measured, {exact} of them exactly: {counts[AGREES]} agree, {counts[DIFFERS]} "
        f"differ, and of {counts[CANNOT_TELL]} nobody can tell at this budget. They are {len(numbers)} published "
        "numbers: those of one curve were judged under two protocols, as its figure says and as its program does."
    )
    return results.page(
        "Published numbers beside ours",
        f"Made by `python -m bench.studies.published results/published` ({'; '.join(made)}). Each "
        "table of the literature is a file of `bench/published`, which holds the numbers and where they stand; ours "
        "are of the registered estimators, by the suite's exact moments wherever it has them.",
        tried,
        _summary(tables, of),
        "## The rule",
        RULE,
        "## What differs, and why",
        *_differing(tables, of),
        "## What cannot be told",
        *_untold(tables, of),
        "## What could not be read",
        UNREAD,
        "## Every cell",
        COLUMNS,
        *(block for name, table in tables.items() for block in _section(name, table, of[name])),
    )


def _summary(tables: Mapping[str, Table], of: Mapping[str, Sequence[Row]]) -> str:
    """A row a table."""
    lines = []
    for name, table in tables.items():
        counts = Counter(row.case["verdict"] for row in of[name])
        exact = sum(row.case["method"] == "exact" for row in of[name])
        seconds = sum({row.case["protocol"]: row.case["seconds"] for row in of[name]}.values())
        verdicts = [str(counts[verdict]) for verdict in VERDICTS]
        source = f"{table.source.authors} {table.source.year}"
        lines.append([source, table.title, str(len(of[name])), str(exact), *verdicts, f"{seconds:.0f}"])
    return results.table(["source", "what", "cells", "ours exact", *VERDICTS, "seconds"], lines)


def _differing(tables: Mapping[str, Table], of: Mapping[str, Sequence[Row]]) -> list[str]:
    """A paragraph a table that has cells which differ."""
    blocks = []
    for name, table in tables.items():
        cells = [row.case["cell"] for row in of[name] if row.case["verdict"] == DIFFERS]
        if cells:
            where = f"{len(cells)} of {len(of[name])} cells (numbers {', '.join(map(str, cells))})"
            blocks.append(f"**[{table.title}](#{name})**, {where}. " + " ".join(table.remarks))
    return blocks or ["Nothing does."]


def _untold(tables: Mapping[str, Table], of: Mapping[str, Sequence[Row]]) -> list[str]:
    """Why nobody can tell of some, a row a table, and how the resolution of readings was set."""
    lines = []
    for name, table in tables.items():
        rows = [row.case for row in of[name] if row.case["verdict"] == CANNOT_TELL]
        coarse = sum(case["published_error"] >= case["matters"] for case in rows)
        if rows:
            lines.append([table.title, str(len(rows)), str(coarse), str(len(rows) - coarse)])
    titles = ["what", "cells", "for the reading alone", "for the draws behind the published number, too"]
    return [results.table(titles, lines) if lines else "Everything can.", READINGS]


def _place(row: Row) -> tuple[str, ...]:
    """Which published number a row is of, among those of an estimator: a factor of our own reading is none of it."""
    own = {"lacks_factor"}
    factors = json.loads(row.case["at"])
    return row.quantity, *(f"{name} {value}" for name, value in sorted(factors.items()) if name not in own)


def _section(name: str, table: Table, rows: Sequence[Row]) -> list[str]:
    """Where a table stands, how it was read, and its cells."""
    source = table.source
    code = f" `{source.repository}` at `{source.commit[:12]}`." if source.repository else ""
    shared = [f"{_words(factor)} {_plain(value)}" for factor, value in table.protocol.items() if factor != "kind"]
    kind = f"`{table.protocol['kind']}` of `bench/published/protocols.py`"
    facts = [
        f"Source: {source.authors}, *{source.paper}*, {source.year}, {source.venue}; {source.place}.{code}",
        f"Metric: {table.metric}.",
        f"How: {source.read}. Resolution: {source.resolution}.",
        f"Published spread: {source.spread}.",
        f"Matters: {_matters(table)}.",
        f"Protocol: {', '.join([kind, *shared])}; what differs beside each cell.",
        *table.remarks,
    ]
    titles = ["", "at", "quantity", "as published", "ours is", "published", "ours", "difference", "reach", "verdict",
              "protocol", "s"]  # fmt: skip
    cells = [_line(row, table) for row in rows]
    return [
        f'<a id="{name}"></a>\n\n### {table.title}',
        "\n".join(f"- {fact}" for fact in facts),
        results.table(titles, cells),
    ]


def _matters(table: Table) -> str:
    """The difference that matters, in words."""
    share = f"{table.matters.relative:.0%} of the number" if table.matters.relative else ""
    fixed = f"{table.matters.absolute:g}" if table.matters.absolute else ""
    return " and ".join(part for part in (share, fixed) if part)


def _line(row: Row, table: Table) -> list[str]:
    """The texts of a cell."""
    case = row.case
    given = table.cells[case["cell"] - 1].at
    error, spread = case["published_error"], case["published_standard_error"]
    published = f"{case['published']:.6g} ± {error:.2g}" if error else f"{case['published']:.6g}"
    if spread is None:
        published += " (standard error unknown)"
    elif spread:
        published += f" (standard error {spread:.2g})"
    ours = f"{row.value:.6g}"
    if case["method"] == "sampled":
        ours = f"{row.value:.4g} [{row.low:.4g}, {row.high:.4g}], n = {row.n}"
    # A share says nothing of a number that is nearly 0, nor beside a fixed difference that matters.
    whole = abs(case["published"]) if table.matters.relative and case["published"] > table.matters.absolute else 1.0
    unit = "" if whole == 1.0 else " %"
    apart, reach = ((100 if unit else 1) * case[of] / whole for of in ("difference", "reach"))
    verdict = case["verdict"] + (f" ({case['remark']})" if case["remark"] else "")
    return [
        str(case["cell"]),
        ", ".join(f"{_words(factor)} {_plain(value)}" for factor, value in given.items()),
        row.quantity,
        case["published_as"],
        case["estimator"],
        published,
        ours,
        f"{apart:+.2g}{unit}",
        f"{reach:.2g}{unit}",
        verdict,
        case["protocol"],
        f"{case['seconds']:.1f}",
    ]


def _words(factor: str) -> str:
    """A factor's name as a person reads it."""
    return factor.replace("_", " ")


def _plain(value: str | bool | float) -> str:
    """A factor as a person reads it."""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
