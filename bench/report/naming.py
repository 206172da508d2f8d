"""What problems, settings and estimators are called in a report.

Two cells stand under one name only where they measure the same thing. Names come from the records' labels;
where a label covers several configurations, the keys that differ are appended, so that different benchmarks
never share a row.
"""

import json
import re
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from bench.records.record import Record


def _disambiguated(groups: Sequence[Hashable], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each item, `key=value` of the keys in which the configurations of its group differ; else empty."""
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
        ", ".join(f"{key}={config.get(key)}" for key in keys[group])
        for group, config in zip(groups, configs, strict=True)
    ]


def problem_names(records: Sequence[Record]) -> list[str]:
    """One name a record: the problem's label, with the keys in which problems of that label differ."""
    labels = [record.config.problem.label for record in records]
    extra = _disambiguated(labels, [record.config.benchmark for record in records])
    return [f"{label} ({more})" if more else label for label, more in zip(labels, extra, strict=True)]


def settings(records: Sequence[Record], problems: Sequence[str]) -> list[str]:
    """One text a record: how its measurement differs from others of its kind on its problem; mostly empty.

    Times of two machines are two measurements; a variance or an ELBO does not depend on the host.
    """
    groups = [(record.kind, problem) for record, problem in zip(records, problems, strict=True)]
    hosts = [{"machine": record.machine} if record.kind == "time" else {} for record in records]
    return _disambiguated(groups, [record.config.settings | host for record, host in zip(records, hosts, strict=True)])


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


def references(
    records: Sequence[Record], problems: Sequence[str], labels: Sequence[str], wanted: str
) -> dict[str, str]:
    """The label of the reference estimator of each problem that has one.

    Args:
        wanted: an estimator's label or name. Of several with that name, the exact label comes first, then the
            fewest samples.
    """
    found: dict[str, tuple[bool, int, str]] = {}
    for record, problem, label in zip(records, problems, labels, strict=True):
        estimator = record.config.estimator
        if wanted in (estimator.label, estimator.name):
            candidate = (estimator.label != wanted, estimator.samples or 0, label)
            found[problem] = min(found.get(problem, candidate), candidate)
    return {problem: label for problem, (_, _, label) in found.items()}
