"""What problems, settings and estimators are called in a report.

Two cells stand under one name only where they measure the same thing. Names come from the records' labels;
where a label covers several configurations, the keys that differ are appended, so that different benchmarks
never share a row.
"""

import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from bench.records.record import Record
from bench.records.results import Moments, Time, Training


def _disambiguated(groups: Sequence[Hashable], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each item, `key=value` of the keys in which the configurations of its group differ; else empty.

    A key that a configuration does not have is left out: it came later, or is its default, which is not written.
    """
    members: dict[Hashable, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for group, config in zip(groups, configs, strict=True):
        members[group][json.dumps(config, sort_keys=True, default=str)] = config
    keys: dict[Hashable, list[str]] = {}
    for group, distinct in members.items():
        names = sorted({key for config in distinct.values() for key in config})
        values = {
            key: {json.dumps(c.get(key), sort_keys=True, default=str) for c in distinct.values()} for key in names
        }
        keys[group] = [key for key in names if len(values[key]) > 1]
    return [
        ", ".join(f"{key}={config[key]}" for key in keys[group] if key in config)
        for group, config in zip(groups, configs, strict=True)
    ]


def problem_names(records: Sequence[Record]) -> list[str]:
    """One name a record: the problem's label, with the keys in which problems of that label differ."""
    labels = [record.config.problem.label for record in records]
    extra = _disambiguated(labels, [record.config.benchmark for record in records])
    return [f"{label} ({more})" if more else label for label, more in zip(labels, extra, strict=True)]


class Parted(NamedTuple):
    """What is said of the settings of each record's measurement; both are mostly empty."""

    settings: list[str]
    """How it differs from others of its kind on its problem, so that the two are not put together."""
    given: list[str]
    """The settings of its training that its estimator has and others have not, which are compared all the same."""


def settings(records: Sequence[Record], problems: Sequence[str]) -> list[str]:
    """One text a record: how its measurement differs from others of its kind on its problem (`parted`)."""
    return parted(records, problems).settings


def parted(records: Sequence[Record], problems: Sequence[str]) -> Parted:
    """What parts records, and what estimators are given.

    Times of two machines are two measurements; a variance or an ELBO does not depend on the host. Moments of equal
    settings but other weights are of other points, and are not paired. What a protocol gives to estimators
    parts nothing: it is compared.
    """
    groups = [(record.kind, problem) for record, problem in zip(records, problems, strict=True)]
    flats = [_flat(record.config.settings) for record in records]
    apart = _of_estimators(records, groups, flats)
    hosts = [{"machine": record.machine} if record.kind == "time" else {} for record in records]
    own = [
        {key: value for key, value in (flat | host).items() if key not in keys}
        for flat, host, keys in zip(flats, hosts, apart, strict=True)
    ]
    keys = [json.dumps([*group, one], sort_keys=True, default=str) for group, one in zip(groups, own, strict=True)]
    measured_at: dict[str, set[str]] = defaultdict(set)
    weights = [_weights(record) for record in records]
    for key, one in zip(keys, weights, strict=True):
        measured_at[key] |= {one} - {""}
    measured = [
        settings | {"weights": one} if len(measured_at[key]) > 1 else settings
        for settings, key, one in zip(own, keys, weights, strict=True)
    ]
    given = [
        ", ".join(f"{key.removeprefix(OPTIMISATION)}={flat[key]}" for key in sorted(keys) if key in flat)
        for flat, keys in zip(flats, apart, strict=True)
    ]
    return Parted(_disambiguated(groups, measured), given)


OPTIMISATION = "optimisation."
SHARED = (f"{OPTIMISATION}steps", f"{OPTIMISATION}batch")
"""Settings in which trainings that are compared never differ."""


def _of_estimators(
    records: Sequence[Record], groups: Sequence[Hashable], flats: Sequence[Mapping[str, Any]]
) -> list[set[str]]:
    """For each record, the settings of training that are an estimator's own on its problem.

    They differ between estimators, and every training of one estimator has one value: published protocols give such
    to some. Where an estimator was trained with several, these are other trainings, and are not put together.
    """
    values: dict[Hashable, dict[str, dict[str, set[str]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    every = zip(records, groups, flats, strict=True)
    trained = [(record, group, flat) for record, group, flat in every if record.kind == "train"]
    names = {key for *_, flat in trained for key in flat if key.startswith(OPTIMISATION) and key not in SHARED}
    for record, group, flat in trained:
        for key in names:
            values[group][key][record.config.estimator.label].add(json.dumps(flat.get(key), default=str))
    own = {
        group: {
            key
            for key, by_estimator in of_group.items()
            if all(len(one) == 1 for one in by_estimator.values()) and len(set.union(*by_estimator.values())) > 1
        }
        for group, of_group in values.items()
    }
    return [own.get(group, set()) for group in groups]


def _weights(record: Record) -> str:
    """8 hex digits of the weights of all trajectories that a record's moments were measured at; empty without any."""
    kept = record.result(Moments).weights if record.kind == "moments" else ()
    return hashlib.sha256(" ".join(kept).encode()).hexdigest()[:8] if kept else ""


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted keys, so that of a training's many that differ alone are named."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def shortened(label: str) -> str:
    """A label for reading: `reinforce[baseline=moving-average]` is `reinforce, moving-average`.

    An option whose value is a word is named by the word, a number by key and value, a flag by its key.
    """
    match = re.fullmatch(r"([^\[]+)\[(.*)\]", label)
    if not match:
        return label
    parts = [match[1]]
    for option in match[2].split(","):
        key, _, value = (part.strip() for part in option.partition("="))
        key = key.replace("_", "-")
        if not value or value.lower() in ("true", "yes"):
            parts.append(key)
        elif value.lower() in ("false", "no", "none", "null"):
            parts.append(f"no {key}")
        elif re.match(r"[-+.\d]", value):
            parts.append(f"{key} {value}")
        else:
            parts.append(value)
    return ", ".join(parts)


def estimator_labels(records: Sequence[Record]) -> list[str]:
    """One label a record, short and unique to an estimator with its options and number of samples."""
    estimators = [record.config.estimator for record in records]
    samples: dict[str, set[int | None]] = defaultdict(set)
    sharing: dict[str, set[str]] = defaultdict(set)
    for estimator in estimators:
        samples[estimator.label].add(estimator.samples)
        sharing[shortened(estimator.label)].add(estimator.label)
    labels = []
    for estimator in estimators:
        short = shortened(estimator.label)
        label = short if len(sharing[short]) == 1 else estimator.label
        labels.append(f"{label}, S={estimator.samples}" if len(samples[estimator.label]) > 1 else label)
    return labels


def families(frame: pd.DataFrame) -> pd.Series:
    """The family of latents of each row; `other` where a person's own problem names none."""
    return frame["family"].astype(object).where(frame["family"].notna(), "other")


def without_budget(label: str) -> str:
    """Such a label without the number of samples that tells one budget of an estimator from another."""
    return re.sub(r", S=\d+$", "", label)


def budgets(records: Sequence[Record], problems: Sequence[str], labels: Sequence[str]) -> list[float]:
    """Evaluations of f a row that each record's estimator spends on its problem, NaN where no record tells.

    Those of a decoder that is trained by draws of its own are beside them, and not counted here. Any cell of the two
    tells it of all: that of a gradient, of a step, or of a training, in this order.
    """
    found: dict[tuple[str, str], float] = {}
    for kind, evaluations in _EVALUATIONS.items():
        for record, *pair in zip(records, problems, labels, strict=True):
            problem, label = pair
            if record.kind == kind and math.isnan(found.get((problem, label), math.nan)):
                found[problem, label] = evaluations(record)
    return [found.get(pair, math.nan) for pair in zip(problems, labels, strict=True)]


def _of_a_training(record: Record) -> float:
    found = record.result(Training)
    rows = found.rows_per_step * found.curve.step[-1] if found.curve.step else 0
    if not (rows > 0 and found.curve.f_evals):
        return math.nan
    return found.curve.f_evals[-1] / rows - record.config.further_evaluations


_EVALUATIONS: dict[str, Callable[[Record], float]] = {
    "moments": lambda record: float(next((point.f_evals for point in record.result(Moments).points), math.nan)),
    "time": lambda record: float(record.result(Time).rows),
    "train": _of_a_training,
}


class Beside(NamedTuple):
    """The reference estimator that a row is compared with."""

    label: str
    budget: float
    """Evaluations of f a row that it spends."""


def without_samples(label: str) -> str:
    """`rloo[samples=4]` is `rloo`: the same estimator, at another budget."""
    return re.sub(r",?(?<=[\[,])samples=\d+", "", label).replace("[,", "[").replace("[]", "")


def references(
    records: Sequence[Record], problems: Sequence[str], labels: Sequence[str], spent: Sequence[float], wanted: str
) -> list[Beside | None]:
    """What each record is compared with: the reference estimator of its problem, at the record's own budget.

    Where the reference was not measured with as many evaluations of f, it is the one that spends the most of those
    below, or the one that spends least.

    Args:
        spent: evaluations of f a row, a number a record.
        wanted: an estimator's label or name. Of several with that name, the exact label comes first, then the
            fewest samples; any number of samples of that one will do.
    """
    found: dict[str, dict[tuple[bool, int, str], tuple[str, float]]] = defaultdict(dict)
    for record, problem, label, budget in zip(records, problems, labels, spent, strict=True):
        estimator = record.config.estimator
        if wanted in (estimator.label, estimator.name):
            place = (estimator.label != wanted, estimator.samples or 0, label)
            found[problem][place] = without_samples(estimator.label), budget
    allowed: dict[str, list[Beside]] = {}
    for problem, candidates in found.items():
        first, _ = candidates[min(candidates)]
        ordered = sorted(candidates.items())
        allowed[problem] = [Beside(place[-1], budget) for place, (name, budget) in ordered if name == first]
    return [_nearest(allowed.get(problem, []), budget) for problem, budget in zip(problems, spent, strict=True)]


def _nearest(candidates: Sequence[Beside], budget: float) -> Beside | None:
    """Of candidates that spend equally much the first."""
    below = [one for one in candidates if one.budget <= budget]
    if below:
        return max(below, key=lambda one: one.budget)
    return min(candidates, key=lambda one: one.budget, default=None)
