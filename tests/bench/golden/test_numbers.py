"""Every number of the csv files, of cells.parquet and of the printed tables, computed anew from the records.

By definitions and scipy alone: what is expected comes neither from the report nor from `bench.statistics`.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.stats

from bench.report.output import write
from tests.bench.golden.publish import RUNS, TABLES, printed
from tests.bench.golden.runs import Record

NAN = math.nan
Z = float(scipy.stats.norm.ppf(0.975))
Row = dict[str, Any]

SHORT = {
    "rebar[temperature=0.5,tied=true]": "rebar, temperature 0.5, tied",
    "relax[eta=none]": "relax, no eta",
    "straight-through[hard_forward=false]": "straight-through, no hard-forward",
    "a_b[c=%&#|<x>$]": "a_b, %&#|<x>$",
    "rloo[baseline=mean]": "rloo, mean",
}
SAMPLES_TELL = {"toys": "rloo", "mixed": "pathwise"}  # the one label that stands for two numbers of samples
REFERENCE = {"quick": "rloo", "toys": "rloo, S=2", "mixed": "rloo"}
DIFFER = {  # what problems of one label differ in
    ("twin", 3): "entropy=sampled, latents=3",
    ("twin", 4): "entropy=analytic, latents=4",
    ("bound", 2): "K=2",
    ("bound", 5): "K=5",
}


# Evaluations of f a row are 2, but for these; none is known of what measured nothing, or is of an earlier release.
SPENT = {
    ("digits/bernoulli-3/8", "exact"): 8.0,
    ("busy", "bitflip"): 19.0,  # as its time says, the only cell there is
    **dict.fromkeys([("digits/bernoulli-3/8", "a_b[c=%&#|<x>$]"), ("own", "bitflip")], NAN),
    **dict.fromkeys([("older", name) for name in ("rloo", "disarm", "weak-derivative")], NAN),
}
WITHOUT_REFERENCE = ("mnist/gaussian-3", "plain", "twin", "bound")


def spent(problem: str, label: str) -> float:
    return SPENT.get((problem, label), 2.0)


def kind(record: Record) -> str:
    return str(record["config"]["measurement"]["kind"])


def host(record: Record) -> str:
    provenance = record["provenance"]
    return f"{provenance['host']} {provenance['gpu']}" if provenance["gpu"] else str(provenance["host"])


def setting(record: Record) -> str:
    """How a measurement differs from others of its problem: written out for the two problems where any does."""
    config = record["config"]
    if config["problem"]["label"] == "devices":
        if kind(record) == "moments":
            return f"device={config['device']}"
        return f"device={config['device']}, machine={host(record)}, threads={config['threads']}"
    if config["problem"].get("latents") == 4:
        return ", ".join(f"{key}={value}" for key, value in config["measurement"].items() if key == "warm_up")
    return ""


def head(run: str, record: Record) -> Row:
    config = record["config"]
    where, estimator = config["problem"], config["estimator"]
    label, full, samples = SHORT.get(estimator["label"], estimator["label"]), estimator["label"], estimator["samples"]
    label += f", S={samples}" if full == SAMPLES_TELL.get(run) else ""
    more = DIFFER.get((where["label"], samples if where["label"] == "bound" else where.get("latents", 0)), "")
    name = f"{where['label']} ({more})" if more else where["label"]
    section = f"{name} ({setting(record)})" if setting(record) else name
    return {
        "cell": record["cell"],
        "kind": kind(record),
        "status": record["status"],
        "reason": record["reason"],
        "problem": name,
        "setting": setting(record),
        "section": section,
        "problem_kind": where["kind"],
        **{key: where.get(key) for key in ("family", "dataset", "bound", "entropy")},
        "label": label,
        "estimator": full,
        "name": estimator["name"],
        "samples": samples,
        "unbiased": record["tags"] is not None and record["tags"]["unbiased"],
        "is_reference": label == REFERENCE[run],
        "device": config["device"],
        "threads": config["threads"],
        "matmul_precision": "highest",
        "learning_rate": NAN,
        "machine": host(record),
        "source": record["provenance"]["estimator_source"],
        "budget": spent(where["label"], full),
        "given": "",  # no estimator of these runs was trained with settings of its own
        **(
            {"relative_to": None, "relative_to_budget": NAN}
            if where["label"] in WITHOUT_REFERENCE
            else {"relative_to": REFERENCE[run], "relative_to_budget": spent(where["label"], "rloo")}
        ),
    }


def dig(tree: Any, path: str) -> Any:
    for key in path.split("."):
        tree = tree.get(key) if tree else None
    return tree


def number(tree: Any, path: str) -> float:
    found = dig(tree, path)
    return NAN if found is None else float(found)


def ends(name: str, low_mid_high: Sequence[float]) -> Row:
    return dict(zip((name, f"{name}_low", f"{name}_high"), low_mid_high, strict=True))


def interval(tree: Any, path: str) -> tuple[float, float, float]:
    return number(tree, f"{path}.estimate"), number(tree, f"{path}.low"), number(tree, f"{path}.high")


def to_infinity(values: tuple[float, float, float]) -> tuple[float, float, float]:
    """A variance that one draw carries has no upper end."""
    estimate, low, high = values
    return estimate, low, math.inf if math.isnan(high) and not math.isnan(estimate) else high


def log_se(value: Any) -> float:
    """Null where it is infinite."""
    if not value or "log_se" not in value:
        return NAN
    return math.inf if value["log_se"] is None else float(value["log_se"])


def ratio(above: float, below: float, *log_ses: float) -> tuple[float, float, float]:
    """Independent log errors add in squares."""
    total = sum(error**2 for error in log_ses) ** 0.5
    value = above / below
    return value, value * math.exp(-Z * total), value * math.exp(Z * total)


def student(values: Sequence[float]) -> tuple[float, float, float]:
    values = [value for value in values if not math.isnan(value)]
    if len(values) < 2:
        return (*values, *(NAN,) * (3 - len(values)))  # type: ignore[return-value]
    mean, half = float(np.mean(values)), float(scipy.stats.t.ppf(0.975, len(values) - 1) * scipy.stats.sem(values))
    return mean, mean - half, mean + half


def shown(run: str) -> list[Record]:
    """The records that count, in the order of their ids; those left out are of a folder."""
    return sorted((record for record in RUNS[run] if "folder" not in record), key=lambda r: (r["cell"], host(r)))


REPLICATED = ("trajectories", "minibatches", "monte_carlo_sd", "minibatch_sd", "trajectory_sd")


def heavy(point: Any, of: str) -> bool:
    """Of a record without rare events, whatever it calls heavy: fewer than 20 equal draws would be as uncertain."""
    if not number(point, f"{of}.variance.estimate") > 0:
        return False
    return number(point, "draws") / number(point, f"{of}.kurtosis") < 20


def points(run: str) -> list[Row]:
    """Every measured point, or an empty one where a cell measured nothing."""
    rows = []
    for record in shown(run):
        if kind(record) != "moments":
            continue
        where = record["config"]["problem"]
        for point in record["measurements"].get("points", [{}]):
            step, logit, scale = number(point, "step"), number(where, "logit"), number(where, "scale")
            at = [(step, f"step {step:g}"), (abs(logit), f"|logit| {abs(logit):g}"), (scale, f"scale {scale:g}")]
            position, name = next((place for place in at if not math.isnan(place[0])), (0.0, ""))
            variance, norm = number(point, "q.variance.estimate"), number(point, "q.gradient_norm")
            rare = (dig(point, "bias.untestable") or 0) > (dig(point, "bias.seldom_moved") or 0)
            half = (number(point, "bias.squared.high") - number(point, "bias.squared.low")) / 2
            floor = number(point, "bias.smallest_visible")
            rows.append({
                **head(run, record),
                "point": name, "position": position, "step": step, "logit": logit, "scale": scale,
                **{key: number(point, key) for key in ("draws", "rows", "f_evals")},
                "trajectory_elbo": number(point, "elbo"),
                **ends("variance", to_infinity(interval(point, "q.variance"))),
                "log_se": NAN if math.isnan(variance) else log_se(dig(point, "q.variance")),
                **{key: number(point, f"q.{key}")
                   for key in ("kurtosis", "coordinates", "gradient_norm", "snr", "cosine", "mse")},
                "heavy_tailed": heavy(point, "q"),
                **ends("encoder_variance", to_infinity(interval(point, "encoder.variance"))),
                "encoder_kurtosis": number(point, "encoder.kurtosis"),
                "encoder_heavy_tailed": heavy(point, "encoder"),
                **dict.fromkeys(REPLICATED, NAN),  # of all these, one trajectory and one minibatch
                **ends("minibatch_variance", interval(point, "encoder.minibatch_variance")),
                **ends("bias_squared", interval(point, "bias.squared")),
                **ends("relative_bias", [number(point, f"bias.relative{end}") for end in ("", "_low", "_high")]),
                "max_z": number(point, "bias.max_z"), "p_value": number(point, "bias.p_value"),
                "tested": number(point, "bias.coordinates"),
                "rare": rare,
                "rare_events": NAN, "variance_rare": rare,  # none of these records counts them
                "seldom_moved": bool(dig(point, "bias.seldom_moved")),
                "reference": dig(point, "bias.reference"),
                "driver": dig(record["config"], "measurement.reference.label"),
                "bias_floor": half**0.5 / norm if math.isnan(floor) else floor,
                # No variance in these runs is so small that rounding could have made it, but for exact zeros.
                "quiet": variance == 0,
                "noiseless": variance == 0 and not rare,
            })  # fmt: skip
    return rows


HEAD = ("problem", "setting", "family", "dataset", "bound", "entropy", "estimator", "name", "samples", "unbiased")
TAIL = ("device", "threads", "matmul_precision", "machine", "status", "reason", "cell")


def columns(names: str) -> list[str]:
    """The columns of a csv; a name that ends in * stands for an estimate and the two ends of its interval."""
    middle = [
        f"{name.rstrip('*')}{end}"
        for name in names.split()
        for end in (("", "_low", "_high") if "*" in name else ("",))
    ]
    return [*HEAD, *middle, *TAIL]


COLUMNS = {
    "variance": columns(
        "point step logit scale f_evals variance* log_se ratio* budget relative_to relative_to_budget "
        "noise_ratio* total_variance* gain* encoder_variance* minibatch_variance* snr cosine mse "
        "gradient_norm coordinates kurtosis heavy_tailed encoder_kurtosis encoder_heavy_tailed rare rare_events "
        "variance_rare trajectory_elbo driver rows draws trajectories minibatches monte_carlo_sd minibatch_sd "
        "trajectory_sd"
    ),
    "bias": columns(
        "point step logit scale relative_bias* bias_squared* bias_floor gradient_norm max_z p_value reference verdict "
        "tested rare seldom_moved heavy_tailed kurtosis rows draws trajectories minibatches"
    ),
    "elbo": columns(
        "budget relative_to relative_to_budget "
        "learning_rate rates at_edge other_rate steps rows_per_step train_rows test_rows test_elbo* train_elbo* "
        "test_iwae* difference* detectable detectable_corrected comparisons seeds_needed* gap* pairs "
        "iwae_samples seeds diverged target reached target_step* target_f_evals* target_seconds* "
        "train_seconds parameters"
    ),
    "time": columns(
        "budget relative_to relative_to_budget "
        "rows batch stacked step_seconds* floor_seconds* time_ratio* plain_seconds* cost_seconds* time_ratio_log_se "
        "plain_ratio_log_se step_n floor_n ratio_n below_floor captured kernel_seconds "
        "compiled_seconds* compiled_ratio* compile_seconds variance_point variance* mse "
        "draws trajectories minibatches f_evals efficiency_seconds* efficiency_f_evals* efficiency_total* "
        "clock_in_interval reference_busy efficiency_mse_seconds "
        "peak_memory_bytes tries load_before load cores busy"
    ),
}


def variances(run: str) -> list[Row]:
    """Points with their ratio to the reference's of most draws, at the same point of the same section."""
    rows = points(run)
    for row in rows:
        others = [
            other for other in rows
            if other["is_reference"] and (other["section"], other["position"]) == (row["section"], row["position"])
            and not math.isnan(other["variance"])
        ]  # fmt: skip
        best = max(others, key=lambda other: other["draws"], default=None)
        value = (NAN,) * 3
        if best is row:
            value = (1.0,) * 3
        elif best is not None and not math.isnan(row["variance"]):
            value = ratio(row["variance"], best["variance"], row["log_se"], best["log_se"])
        row |= ends("ratio", value)
        own, minibatch = row["encoder_variance"], row["minibatch_variance"]
        errors = doubled(row, "encoder"), doubled(row, "minibatch")
        of_both = ratio(own, minibatch, *errors)
        total = own + minibatch
        weighed = [value * error / total for value, error in zip((own, minibatch), errors, strict=True)]
        row |= ends("noise_ratio", of_both) | ends("total_variance", ratio(total, 1.0, *weighed))
        row |= ends("gain", [1 - 1 / (1 + value) for value in of_both])
    return rows


def doubled(row: Row, name: str) -> float:
    """Log standard error of an interval whose upper end is twice its lower one, as that of every measured one here."""
    estimate, low, high = (row[f"{name}_variance{end}"] for end in ("", "_low", "_high"))
    if math.isnan(estimate):
        return NAN
    if math.isinf(high):
        return math.inf
    assert high == 2 * low
    return math.log(2) / (2 * Z)


def seeds(record: Record) -> list[Row]:
    """A seed's final values; out where it diverged, or left no final test ELBO."""
    measured = record["measurements"]
    final = measured.get("final", {})
    found = []
    for i, seed in enumerate(measured.get("seeds", [])):
        values = {
            key: number({"x": final.get(key, [None] * 9)[i]}, "x") for key in ("train_elbo", "test_elbo", "test_iwae")
        }
        at = number({"x": measured["diverged"][i]}, "x")
        out = not math.isnan(at) or math.isnan(values["test_elbo"])
        found.append({"seed": float(seed), "diverged_step": at, "out": out, **values})
    return found


def power(pairs: int, effect: float, level: float) -> float:
    """Of a two-sided t-test of so many pairs; its squared statistic is a noncentral F."""
    critical = scipy.stats.t.isf(level / 2, pairs - 1) ** 2
    return float(scipy.stats.ncf.sf(critical, 1, pairs - 1, pairs * effect**2))


def needed(effect: float) -> float:
    """The fewest pairs that show an effect four times in five."""
    return next((n for n in range(2, 10**4) if power(n, effect, 0.05) >= 0.8), math.inf)


def told(pairs: Sequence[float], others: int) -> Row:
    """What such pairs would have shown four times in five, and how many of them would show what was found."""
    row = {"detectable": NAN, "detectable_corrected": NAN, **ends("seeds_needed", (NAN,) * 3)}
    n = len(pairs) if any(pairs) else 0
    if n > 2:
        spread = float(np.std(pairs, ddof=1))
        for name, level in (("detectable", 0.05), ("detectable_corrected", 0.05 / others)):
            lacking = lambda x, level=level: power(n, x, level) - 0.8  # noqa: E731
            row[name] = spread * float(scipy.optimize.brentq(lacking, 0, 1e4, xtol=1e-12))
        effect = abs(float(np.mean(pairs))) / spread
        t, root = effect * math.sqrt(n), math.sqrt(n)

        def end(tail: float) -> float:  # of the noncentrality, by simulation of the sample deviation on a grid
            s = np.sqrt(scipy.stats.chi2.ppf((np.arange(20_000) + 0.5) / 20_000, n - 1) / (n - 1))
            below = lambda shift: float(scipy.stats.norm.cdf(t * s - shift).mean()) - tail  # noqa: E731
            return float(scipy.optimize.brentq(below, -100, 100 + 10 * t)) / root

        small, large = end(0.975), end(0.025)
        high = needed(small) if small > 0 else math.inf
        row |= ends("seeds_needed", (needed(effect), needed(max(abs(small), large)), high))
    return row


def elbos(run: str) -> list[Row]:
    trained = [record for record in shown(run) if kind(record) == "train"]
    rows = []
    for record in trained:
        names, measured = head(run, record), record["measurements"]
        ended = [seed for seed in seeds(record) if not seed["out"]]
        others = {
            seed["seed"]: seed["test_elbo"]
            for other in trained
            if head(run, other)["is_reference"] and head(run, other)["section"] == names["section"]
            for seed in seeds(other)
            if not seed["out"]
        }
        pairs = [seed["test_elbo"] - others[seed["seed"]] for seed in ended if seed["seed"] in others]
        curve = measured.get("curve", {"step": [None], "seconds": [None]})
        section = [head(run, other) for other in trained if head(run, other)["section"] == names["section"]]
        compared = sum(not other["is_reference"] for other in section)
        to_target = [ends(f"target_{name}", (NAN,) * 3) for name in ("step", "f_evals", "seconds")]
        rows.append({
            **names,
            "steps": number({"x": curve["step"][-1]}, "x"), "train_seconds": number({"x": curve["seconds"][-1]}, "x"),
            "rows_per_step": number(measured, "rows_per_step"), "parameters": number(measured, "parameters"),
            **{f"{split}_rows": number(measured, f"evaluated_rows.{split}") for split in ("train", "test")},
            "iwae_samples": number(measured, "final.iwae_samples"),
            **{key: value for name in ("train_elbo", "test_elbo", "test_iwae")
               for key, value in ends(name, student([seed[name] for seed in ended])).items()},
            **ends("difference", student(pairs)),
            **ends("gap", student([seed["train_elbo"] - seed["test_elbo"] for seed in ended])),
            "pairs": len(pairs), "seeds": len(measured.get("seeds", [])),
            "diverged": sum(seed["out"] for seed in seeds(record)),
            **told(pairs, max(1, compared)), "comparisons": compared, "rates": 1, "at_edge": False, "other_rate": 0,
            "learning_rate": NAN, "target": NAN, "reached": NAN, **to_target[0], **to_target[1], **to_target[2],
        })  # fmt: skip
    return rows


def quartiles(measured: Any, key: str, name: str) -> Row:
    return ends(name, [number(measured, f"{key}.{part}") for part in ("median", "q25", "q75")])


def clocks(run: str) -> list[Row]:
    """Times as they were measured."""
    rows = []
    for record in shown(run):
        if kind(record) != "time":
            continue
        measured, provenance = record["measurements"], record["provenance"]
        own = measured.get("ratio", {})
        high = own.get("q75", NAN)
        if "log_se" in own:  # a record that holds it: the interval of the median, not the quartiles
            high = own["median"] * math.exp(Z * log_se(own))
        load = float((measured.get("load") or provenance["load"])[0])
        rows.append({
            **head(run, record),
            **quartiles(measured, "step", "step_seconds"), "step_n": number(measured, "step.n"),
            **quartiles(measured, "floor", "floor_seconds"), "floor_n": number(measured, "floor.n"),
            **quartiles(measured, "ratio", "time_ratio"), "ratio_n": number(measured, "ratio.n"),
            **quartiles(measured, "plain", "plain_seconds"), "plain_n": number(measured, "plain.n"),
            **quartiles(measured, "plain_ratio", "plain_ratio"), "plain_ratio_n": number(measured, "plain_ratio.n"),
            "time_ratio_log_se": log_se(own), "plain_ratio_log_se": log_se(measured.get("plain_ratio")),
            "below_floor": high < 1,
            "tries": number(measured, "tries"), "load_before": number(measured, "load_before"),
            "load": load, "cores": float(provenance["cores"]),
            "busy": bool(measured) and load > provenance["cores"],
            "rows": number(measured, "rows"), "batch": number(record["config"], "measurement.optimisation.batch"),
            "stacked": number(record["config"], "measurement.stacked"),
            "kernel_seconds": number(measured, "kernels"),
            "captured": bool(measured.get("captured")),
            **quartiles(measured, "compiled", "compiled_seconds"),
            **quartiles(measured, "compiled_ratio", "compiled_ratio"),
            "compile_seconds": number(measured, "program.seconds"),
            "peak_memory_bytes": number(measured, "peak_memory_bytes"),
        })  # fmt: skip
    return rows


EMPTY = {"point": "", "variance": NAN, "variance_low": NAN, "variance_high": NAN, "log_se": NAN, "mse": NAN,
         "f_evals": NAN, "draws": 0.0, "quiet": False, "noiseless": False,
         "encoder_variance": NAN, "minibatch_variance": NAN}  # fmt: skip


def times(run: str) -> list[Row]:
    """Times with what an estimator's noise costs: 1 / (variance x cost) over the reference's."""
    rows, measured = clocks(run), [row for row in points(run) if not math.isnan(row["variance"])]

    def noise(row: Row) -> Row:
        """Moments at the problem's last point: those of the same device first, then those of most draws."""
        of_problem = [point for point in measured if point["problem"] == row["problem"]]
        last = max((point["position"] for point in of_problem), default=0)
        own = [point for point in of_problem if (point["label"], point["position"]) == (row["label"], last)]
        same = [point for point in own if point["device"] == row["device"]] or own
        return max(same, key=lambda point: point["draws"], default=EMPTY)

    for row in rows:
        plain = float(np.nanmedian([other["plain_seconds"] for other in rows if other["section"] == row["section"]]))
        row |= {f"cost_seconds{end}": row[f"plain_ratio{end}"] * plain for end in ("", "_low", "_high")}
    for row in rows:
        own = noise(row)
        references = [other for other in rows if other["section"] == row["section"] and other["is_reference"]]
        reference = references[0] if references else {"cost_seconds": NAN, "plain_ratio_log_se": NAN, "busy": False}
        other = noise(references[0]) if references else EMPTY
        clock = [row["plain_ratio_log_se"], reference["plain_ratio_log_se"]]
        known = not any(map(math.isnan, clock))

        def efficiency(
            own_cost: float, other_cost: float, *noises: float, own: Row = own, other: Row = other
        ) -> tuple[float, ...]:
            if own["noiseless"]:
                return (math.inf,) * 3
            if (
                own["quiet"]
                or other["quiet"]
                or math.isnan(own["variance"] * other["variance"] * own_cost * other_cost)
            ):
                return (NAN,) * 3
            if own is other:
                return (1.0,) * 3
            above, below = other["variance"] * other_cost, own["variance"] * own_cost
            return ratio(above, below, own["log_se"], other["log_se"], *noises)

        def of_total(
            own_cost: float, other_cost: float, *noises: float, own: Row = own, other: Row = other
        ) -> tuple[float, ...]:
            """Weights of the errors are shares of the totals; the minibatch's is one and the same in both."""
            totals = [one["encoder_variance"] + one["minibatch_variance"] for one in (other, own)]
            if any(math.isnan(total) for total in totals) or math.isnan(other_cost):
                return (NAN,) * 3
            if own is other:
                return (1.0,) * 3
            shares = [one["encoder_variance"] / total for one, total in zip((other, own), totals, strict=True)]
            error = math.log(2) / (2 * Z)
            weighed = [share * error for share in (*shares, shares[1] - shares[0])]
            return ratio(totals[0] * other_cost, totals[1] * own_cost, *weighed, *noises)

        charged = other["mse"] * reference["cost_seconds"] / (own["mse"] * row["cost_seconds"] or NAN)
        row |= {
            "variance_point": own["point"],
            **{key: own[key] for key in ("variance", "variance_low", "variance_high", "mse", "draws", "f_evals")},
            "trajectories": NAN, "minibatches": NAN,
            **ends("efficiency_seconds",
                   efficiency(row["cost_seconds"], reference["cost_seconds"], *(clock if known else ()))),
            **ends("efficiency_f_evals", efficiency(own["f_evals"], other["f_evals"])),
            **ends("efficiency_total",
                   of_total(row["cost_seconds"], reference["cost_seconds"], *(clock if known else ()))),
            "clock_in_interval": known,
            "reference_busy": reference["busy"],
            "efficiency_mse_seconds": math.inf if own["mse"] == 0 and other["mse"] > 0 else charged,
        }  # fmt: skip
    return rows


EXPECTED: dict[str, Callable[[str], list[Row]]] = {
    "variance": variances,
    "bias": points,
    "elbo": elbos,
    "time": times,
}


def as_published(value: Any) -> Any:
    """As a csv gives it back."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def read(folder: Path, table: str) -> list[Row]:
    """A csv's rows, each entry by its looks a number, a truth value or a text."""
    frame = pd.read_csv(folder / "tables" / f"{table}.csv", dtype=str, keep_default_na=False)
    assert list(frame.columns) == COLUMNS[table]
    truth = {"True": True, "False": False, "": None}

    def entry(text: str) -> Any:
        if text in truth:
            return truth[text]
        try:
            return float(text)
        except ValueError:
            return text

    return [{name: entry(text) for name, text in row.items()} for row in frame.to_dict("records")]


def alike(found: Any, expected: Any) -> bool:
    if isinstance(found, float) and isinstance(expected, float):
        return found == pytest.approx(expected, rel=1e-9)
    return bool(found == expected)


def by_place(rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
    found = {(row["cell"], row["machine"], as_published(row.get("step"))): row for row in rows}
    assert len(found) == len(rows)
    return found


def check_csv(folder: Path, run: str, table: str) -> None:
    """Every column of every row."""
    found, expected = by_place(read(folder, table)), by_place(EXPECTED[table](run))
    assert found.keys() == expected.keys()
    for place, row in found.items():
        for name in set(COLUMNS[table]) - {"verdict"}:  # words: see the expected texts
            assert alike(row[name], as_published(expected[place][name])), (place, name, row[name])


def curve(record: Record) -> Iterator[tuple[str, float, float, float]]:
    """(metric, step, seed or NaN, value) of a training's curve: a row a step, seed by seed."""
    measured = record["measurements"]
    for metric in ("train_elbo", "test_elbo"):
        for i, step in enumerate(measured["curve"]["step"]):
            for j, seed in enumerate(measured["seeds"]):
                value = measured["curve"][metric][i][j]
                yield metric, float(step), float(seed), NAN if value is None else value
    for metric in ("seconds", "f_evals"):
        for step, value in zip(measured["curve"]["step"], measured["curve"][metric], strict=True):
            yield metric, float(step), NAN, float(value)


def scalars(run: str) -> list[Row]:
    """Every measured scalar, metric by metric, each in the order of the cells' ids."""
    records = shown(run)
    at_a_point = (
        "variance encoder_variance minibatch_variance bias_squared relative_bias kurtosis encoder_kurtosis "
        "gradient_norm snr cosine mse max_z p_value trajectory_elbo f_evals"
    )
    of_time = {
        "step_seconds": "step_n", "floor_seconds": "floor_n", "time_ratio": "ratio_n", "plain_seconds": "plain_n",
        "plain_ratio": "plain_ratio_n", "kernel_seconds": "step_n", "peak_memory_bytes": "step_n",
    }  # fmt: skip
    nowhere = {"step": NAN, "logit": NAN, "scale": NAN, "seed": NAN, "trajectory": NAN, "minibatch": NAN}
    bare = {"low": NAN, "high": NAN, "n": 1.0}
    rows: list[Row] = []

    def put(names: Mapping[str, Any], metric: str, estimate: float, **more: float) -> None:
        if not math.isnan(estimate):
            rows.append({**names, "metric": metric, "estimate": float(estimate), **bare, **more})

    for record in records:
        put({**head(run, record), **nowhere}, "cell_seconds", record["seconds"])
    own = list(head(run, records[0]))
    for metric in at_a_point.split():
        for row in points(run):
            names = {**{name: row[name] for name in (*own, "step", "logit", "scale")}, "seed": NAN}
            low, high = row.get(f"{metric}_low", NAN), row.get(f"{metric}_high", NAN)
            put(names, metric, row[metric], low=low, high=high, n=row["draws"])
    for metric, n in of_time.items():
        for row in clocks(run):
            low, high = row.get(f"{metric}_low", NAN), row.get(f"{metric}_high", NAN)
            put({**{name: row[name] for name in own}, **nowhere}, metric, row[metric], low=low, high=high, n=row[n])
    trained = [record for record in records if kind(record) == "train"]
    for metric in ("train_elbo", "test_elbo", "test_iwae", "diverged_step"):
        for record in trained:
            for seed in seeds(record):
                put({**head(run, record), **nowhere, "seed": seed["seed"]}, f"final_{metric}", seed[metric])
    for metric in ("train_elbo", "test_elbo", "seconds", "f_evals"):
        for record in trained:
            for name, step, seed_of, value in curve(record) if record["measurements"] else ():
                if name == metric:
                    put({**head(run, record), **nowhere, "step": step, "seed": seed_of}, metric, value)
    return rows


def check_parquet(folder: Path, run: str) -> None:
    """Every row, in order, and the types of its columns."""
    found, expected = pd.read_parquet(folder / "cells.parquet"), pd.DataFrame(scalars(run))
    assert list(found.columns) == list(expected.columns)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-9)
    numbers = ("step", "logit", "scale", "seed", "trajectory", "minibatch", "estimate", "low", "high", "n")
    assert {str(found[name].dtype) for name in numbers} == {"float64"}
    assert {name for name in found if found[name].dtype == bool} == {"unbiased", "is_reference"}


# Printed column -> column of the csv, and by how much it is multiplied; * for an estimate with its interval.
PRINTED: dict[str, dict[str, tuple[str, float]]] = {
    "variance": {
        "f-evals": ("f_evals", 1), "variance w.r.t. q": ("variance*", 1), "ratio to rloo": ("ratio*", 1),
        "estimator / minibatch": ("noise_ratio*", 1), "total": ("total_variance*", 1), "gain": ("gain", 100),
        "encoder variance": ("encoder_variance*", 1), "minibatch variance": ("minibatch_variance*", 1),
        "SNR": ("snr", 1), "n": ("draws", 1),
    },
    "bias": {
        "relative bias": ("relative_bias*", 100), "bias²": ("bias_squared*", 1), "max |z|": ("max_z", 1),
        "p": ("p_value", 1), "n": ("draws", 1),
    },
    "elbo": {
        "f-evals": ("budget", 1), "steps": ("steps", 1),
        "train ELBO": ("train_elbo*", 1), "test ELBO": ("test_elbo*", 1),
        "test IWAE-8/64": ("test_iwae*", 1), "test IWAE-K": ("test_iwae*", 1), "test ELBO - rloo": ("difference*", 1),
        "detectable": ("detectable", 1), "seeds to tell": ("seeds_needed*", 1),
        "gap": ("gap*", 1), "seconds": ("train_seconds", 1),
    },
    "time": {
        "f-evals": ("rows", 1), "step, ms": ("step_seconds*", 1000), "floor, ms": ("floor_seconds*", 1000),
        "ratio to floor": ("time_ratio*", 1), "cost, ms": ("cost_seconds*", 1000),
        "1/(variance x s)": ("efficiency_seconds*", 1), "1/(variance x f-evals)": ("efficiency_f_evals*", 1),
        "1/(total x s)": ("efficiency_total*", 1),
        "1/(MSE x s)": ("efficiency_mse_seconds", 1), "peak MB": ("peak_memory_bytes", 1e-6),
        "threads": ("threads", 1),
    },
}  # fmt: skip
WORDS = {  # column of the csv that a printed one repeats
    "variance": {"point": "point"},
    "bias": {"point": "point", "verdict": "verdict", "reference": "reference"},
    "elbo": {},
    "time": {},
}
AGAINST = (
    "ratio to rloo",
    "test ELBO - rloo",
    "1/(variance x s)",
    "1/(variance x f-evals)",
    "1/(total x s)",
    "1/(MSE x s)",
)
ONE = {"1 (reference)": "1", "0 (reference)": "0", "∞ (no noise)": "∞", "< 1e-16": "0.0"}
NUMBER = re.compile(r"(-?)(?:(∞)|(\d+)(?:\.(\d+))?(?:e(-?\d+))?)")


def rounds_to(value: float, sign: str, infinite: str, whole: str, decimals: str, power: str) -> bool:
    """Whether a number, as the groups of its printed form, is the value up to half of the last digit."""
    if infinite:
        return value == float(f"{sign}inf")
    seen = float(f"{sign}{whole}.{decimals}e{power or 0}")
    return abs(seen - value) <= 0.5000001 * 10.0 ** (int(power or 0) - len(decimals))


def check_print(folder: Path, table: str) -> None:
    """The csv's numbers in the same order, each in its unit, rounded to the digits that are printed."""
    rows, lines = read(folder, table), printed(folder, table)
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        assert line["estimator"].startswith(SHORT.get(row["estimator"], row["estimator"]))
        assert line["estimator"].endswith(" †") == (not row["unbiased"])
        assert line.get("unbiased", line.get("declared")) in (
            ("yes", "unbiased") if row["unbiased"] else ("no", "biased")
        )
        if table == "time" and "batch" in line:
            models, rows_of_each = row["stacked"], row["batch"]
            assert line["batch"] == (f"{models:.0f} x {rows_of_each:.0f}" if models else "")
        for title, name in WORDS[table].items():
            assert line[title] == (row[name] or "")
        for title in PRINTED[table].keys() & line.keys():
            name, factor = PRINTED[table][title]
            parts = ("", "_low", "_high") if name.endswith("*") and line[title] not in ONE else ("",)
            values = [row[name.rstrip("*") + part] for part in parts]
            known = [factor * value for value in values if value is not None]
            printed_as, _, budgets = line[title].partition(" (8 to 2")  # evaluations of f, behind a ratio
            assert bool(budgets) == (title in AGAINST and printed_as not in ("", *ONE) and row["budget"] == 8), (
                title,
                line,
            )
            seen = NUMBER.findall(ONE.get(printed_as, printed_as))
            assert len(seen) == len(known), (title, line)
            assert all(rounds_to(value, *number) for value, number in zip(known, seen, strict=True)), (title, line)


@pytest.mark.parametrize("run", RUNS)
def test_every_number_is_what_the_records_say(tmp_path: Path, run: str) -> None:
    write(RUNS[run], tmp_path, {"csv", "md"})
    for table in TABLES:
        check_csv(tmp_path, run, table)
        check_print(tmp_path, table)
    check_parquet(tmp_path, run)
