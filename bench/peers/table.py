"""The table, from the measurements alone."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.peers.cases import DESCRIPTIONS
from bench.report.tables.render import pipe
from bench.report.text import interval, number

Measurements = Mapping[str, Any]

COLUMNS = {
    "ours": "ours_seconds", "step": "peer_seconds", "floor": "floor_seconds", "ratio": "ratio",
    "floor_ratio": "peer_over_floor",
}  # fmt: skip
"""What was measured, and its columns: each with _q25, _q75 and _n."""


def frame(measurements: Measurements) -> pd.DataFrame:
    """A row for each peer in each comparison and number of threads."""
    rows = []
    for row in measurements["rows"]:
        flat = {key: value for key, value in row.items() if key not in COLUMNS and key != "load"}
        for key, name in COLUMNS.items():
            flat[name] = row[key]["median"]
            flat |= {f"{name}_{part}": row[key][part] for part in ("q25", "q75", "n")}
        flat["met"] = _met(row["ratio"], row["target"])
        rows.append(flat)
    return pd.DataFrame(rows)


def _met(ratio: Mapping[str, float], target: float | None) -> str:
    """Whether a target is met: unclear where the interquartile range holds it."""
    if target is None:
        return ""
    return "yes" if ratio["q25"] >= target else "no" if ratio["q75"] < target else "unclear"


def heading(rows: pd.DataFrame) -> str:
    """What a section of the table, or a panel, shows."""
    first = rows.iloc[0]
    threads = "1 thread" if first["threads"] == 1 else f"{first['threads']} threads"
    seeds = f", {first['stacked']} seeds" if first["stacked"] > 1 else ""
    return f"{first['shape']}{seeds}, {threads}"


def _line(row: Mapping[Any, Any]) -> list[str]:
    milliseconds = (number(1e3 * row[f"{who}_seconds"]) for who in ("ours", "peer", "floor"))
    return [
        row["model"],
        row["method"],
        row["peer"],
        *milliseconds,
        interval(row["ratio"], row["ratio_q25"], row["ratio_q75"]),
        number(row["peer_over_floor"]),
        "" if pd.isna(row["target"]) else f"{row['target']:g}",
        row["met"],
    ]


TITLES = ("model", "method", "peer", "ours ms", "peer ms", "floor ms", "ratio [IQR]", "to floor", "target", "met")
LEFT = [title in ("model", "method", "peer", "met") for title in TITLES]


FIGURE = """![How many times faster than each peer](peers.png)

*How many times faster ours is than each peer, from the tables below: medians and interquartile ranges of the ratio of
the peer's time to ours, and of seeds trained per second where several are stacked; grey bars, the same ratio to our
floor; diamonds, targets; dashed, equal.*"""


def caption(measurements: Measurements) -> str:
    """What is compared, how, and on what machine."""
    about = measurements["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in measurements["peers"].items())
    stacked = max((row["stacked"] for row in measurements["rows"]), default=1)
    return (
        f"One training step of a VAE beside the same step of other libraries: the same model, batch of "
        f"{measurements['batch']} rows, float32, fused Adam unless said otherwise, and number of evaluations of f. "
        "Times are medians in milliseconds; the ratio is the peer's time over ours, round by round, median and "
        f"interquartile range, n = {measurements['rounds']} rounds after {measurements['warm_up']} of warm-up, all "
        "steps of a comparison taking their turn in one process. The floor is our step with samples and learning "
        f"signal given; `to floor` is the peer's time over the floor's. With {stacked} seeds, ours and the floor train "
        f"{stacked} models in one step, the peers one, and both ratios are of seeds trained per second. RLOO draws two "
        "samples, the others one. storchastic has the KL divergence in closed form, Pyro the sampled one, each as in "
        "its own example of a VAE, and ours has the same as the peer. The targets are for a peer used as in that "
        "example; whether one is met is unclear where the interquartile range holds it. "
        f"{versions}, torch {about['torch']}, {about['cpu']}, load average {about['load'][0]:.1f} before."
    )


def markdown(measurements: Measurements) -> str:
    """The comparisons at the judged numbers of threads, then at the others."""
    table = frame(measurements)
    used = [f"- {peer}: {words}." for peer, words in DESCRIPTIONS.items() if peer in set(table["peer"])]
    lines = ["# Beside other libraries", "", caption(measurements), "", *used, "", FIGURE]
    for judged in (True, False):
        for _, rows in table[table["judged"] == judged].groupby(["shape", "stacked", "threads"], sort=False):
            note = "" if judged else ", for comparison"
            cells = [_line(row) for row in rows.to_dict("records")]
            lines += ["", f"## {heading(rows)}{note}", "", *pipe(TITLES, cells, LEFT)]
    return "\n".join(lines) + "\n"
