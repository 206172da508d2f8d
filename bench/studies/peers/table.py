"""The table and the page, from the measurements alone."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench.report.text import interval, number, plural
from bench.studies import results
from bench.studies.peers.cases import DESCRIPTIONS, DIGITS, MNIST
from bench.studies.results import Row, Run, grouped

Wide = Mapping[str, Any]
"""All that was measured of a peer in a comparison and at a number of threads, by column."""


def wide(run: Run) -> list[Wide]:
    """A row for each peer in each comparison and number of threads: what it measures with _q25, _q75 and _n."""
    return [_wide(case, rows) for case, rows in grouped(run.rows, "load")]


def _wide(case: Mapping[str, Any], rows: list[Row]) -> Wide:
    (ratio,) = (row for row in rows if row.quantity == "ratio")
    columns: dict[str, Any] = {**case, "target": ratio.target}
    for row in rows:
        ends = {"_q25": row.low, "_q75": row.high, "_n": row.n} if row.n > 1 else {}  # compiling is timed once
        columns |= {row.quantity: row.value} | {f"{row.quantity}{end}": value for end, value in ends.items()}
    return columns | {"met": _met(ratio)}


def _met(ratio: Row) -> str:
    """Whether a target is met: unclear where the interquartile range holds it."""
    if ratio.target is None:
        return ""
    return "yes" if ratio.low >= ratio.target else "no" if ratio.high < ratio.target else "unclear"


def heading(row: Wide) -> str:
    """What the section of the table, or the panel, that has this row shows."""
    beside = "Beside JAX: " if row["beside_jax"] else ""
    seeds = f", {row['stacked']} seeds" if row["stacked"] > 1 else ""
    return f"{beside}{row['shape']}{seeds}, {plural(row['threads'], 'thread')}"


def method_names(rows: Iterable[Wide]) -> dict[tuple[str, str], str]:
    """Names of methods, by method and entropy: where one comes twice, with how the KL divergence is had."""
    found = dict.fromkeys((row["method"], row["entropy"]) for row in rows)
    words = {"analytic": ", KL closed", "sampled": ", KL sampled"}
    twice = {method for method, entropy in found if any((method, other) in found for other in {*words} - {entropy})}
    return {(method, entropy): method + words[entropy] * (method in twice) for method, entropy in found}


def _cells(row: Wide, names: Mapping[tuple[str, str], str]) -> list[str]:
    milliseconds = (number(1e3 * row[f"{who}_seconds"]) for who in ("ours", "peer", "floor"))
    return [
        row["model"],
        names[row["method"], row["entropy"]],
        row["peer"],
        *milliseconds,
        interval(row["ratio"], row["ratio_q25"], row["ratio_q75"]),
        number(row["peer_over_floor"]),
        number(row["ours_compile_seconds"]),
        number(row.get("peer_compile_seconds")),
        "" if row["target"] is None else f"{row['target']:g}",
        row["met"],
    ]


TITLES = (
    "model", "method", "peer", "ours ms", "peer ms", "floor ms", "ratio [IQR]", "to floor", "ours compile s",
    "peer compile s", "target", "met",
)  # fmt: skip
RIGHT = set(TITLES) - {"model", "method", "peer", "met"}

_READ_THEM = """from the tables below: medians and interquartile ranges of the ratio of the peer's time to ours, and
of seeds trained per second where several are stacked; grey bars, the same ratio to our floor; diamonds, targets;
dashed, equal."""
FIGURES = f"""![How many times faster than libraries of PyTorch](peers.png)

*How many times faster our compiled step is than our eager one and those of libraries of PyTorch, {_READ_THEM}*

![How many times faster than JAX](peers-jax.png)

*How many times faster our compiled step is than our eager one and JAX's, {_READ_THEM}*"""


def caption(run: Run) -> tuple[str, ...]:
    """What is compared, how, and on what machine, in paragraphs."""
    about = run.about
    versions = ", ".join(f"{name} {version}" for name, version in about["peers"].items())
    turns = ", ".join(f"{shape.steps} steps on {shape.name}" for shape in (MNIST, DIGITS))
    void = sum({(heading(row), row["method"], row["entropy"]): row["void"] for row in wide(run)}.values())
    measured = (
        f"One training step of a VAE beside the same step of other libraries: the same model, batch of "
        f"{about['batch']} rows, float32, fused Adam unless said otherwise, and number of evaluations of f. Ours is "
        "the compiled step; our eager step stands beside it. Times are medians in milliseconds a step; the ratio is "
        "the peer's time over ours, turn by turn, median and interquartile range, "
        f"n = {about['rounds']} turns of each ({turns}) after {about['warm_up']} of warm-up, all of a comparison one "
        "after another, on as many cores as there are threads. A machine that others use has spells in which compiled "
        "code takes twice its time and other code as long as ever: a round in which the floor took more than "
        f"{about['calm']:g} times its least was taken again, and where too many did, those count in which it took "
        f"least; {plural(void, 'round')} did not count. Compiling is "
        "not in these times, and has columns of its own: for ours and Pyro what the first turn, with all that is made "
        "for it, takes longer than a later one, for JAX what its compiler takes. The floor is our step with samples "
        "and learning signal given, compiled as ours is; `to floor` is the peer's time over the floor's. With several "
        "seeds, ours, the floor and JAX train them in one step, the others one, and both ratios are of seeds trained "
        "per second. DisARM and RLOO draw two samples, the others one."
    )
    compared = (
        "Beside libraries of PyTorch: storchastic has the KL divergence in closed form, Pyro the sampled one, each as "
        "in its own example of a VAE, and ours has the same as the peer; ours gathers its rows in each step, where "
        "those of the peers are given. Beside JAX: the KL divergence is sampled, both gather rows in a shuffled order, "
        "those of MNIST are binarised anew in each step, and REBAR learns temperature and scale in both. JAX runs in a "
        "process of its own, which is idle while the others take their turns, as they are while it takes its."
    )
    judged = (
        "The targets are for a peer used as in its example, for JAX, and for our eager step; whether one is met is "
        f"unclear where the interquartile range holds it. {versions}, {results.made_on(run.provenance)}."
    )
    return measured, compared, judged


def sections(rows: list[Wide]) -> dict[str, list[Wide]]:
    """Rows by the heading that they stand under."""
    found: dict[str, list[Wide]] = {}
    for row in rows:
        found.setdefault(heading(row), []).append(row)
    return found


def markdown(run: Run) -> str:
    """The page: the comparisons at the judged numbers of threads, then at the others."""
    rows = wide(run)
    used = {row["peer"] for row in rows}
    peers = "\n".join(f"- {peer}: {words}." for peer, words in DESCRIPTIONS.items() if peer in used)
    blocks = []
    for judged, note in ((True, ""), (False, ", for comparison")):
        for title, section in sections([row for row in rows if row["judged"] == judged]).items():
            blocks += [
                f"## {title}{note}",
                results.table(TITLES, [_cells(row, method_names(section)) for row in section], RIGHT),
            ]
    return results.page("Beside other libraries", *caption(run), peers, FIGURES, *blocks)
