"""Suites, labels and values that nobody should type, and what lies near to those that somebody would."""

import random
import tomllib
from typing import Any

from bench.config import EstimatorConfig
from bench.measure.base import MEASUREMENTS
from bench.problems.base import PROBLEMS
from bench.studies.chaos.odd import BYTES, NAMES, NUMBERS, OPTIONS, WORDS
from bench.suite.load import SUITES
from bench.suite.schema import Suite
from bench.suite.toml import dumps
from bench.training.settings import Optimisation
from estimators import registry


def a_value(rng: random.Random, like: Any = None) -> Any:
    """Something to stand in the place of a value: near to it, or nothing like it."""
    match rng.randrange(8):
        case 0 | 1:
            return rng.choice(NUMBERS)
        case 2:
            return rng.choice(WORDS)
        case 3:
            return [a_value(rng) for _ in range(rng.randrange(4))]
        case 4:
            return {rng.choice(WORDS): a_value(rng) for _ in range(rng.randrange(3))}
        case 5 if isinstance(like, list):
            return like * rng.choice((0, 2, 50))
        case 6 if isinstance(like, int | float):
            return rng.choice((-like, like + 1, like / 3, like * 10**9, float(like)))
    return rng.choice((True, False, rng.randrange(10), rng.random()))


def changed(rng: random.Random, table: dict[str, Any]) -> dict[str, Any]:
    """A table with one thing changed somewhere in it: a value, a key, one more, one less."""
    table = dict(table)
    key = rng.choice([*table]) if table else ""
    inside = table.get(key)
    if isinstance(inside, dict) and inside and rng.random() < 0.8:
        return table | {key: changed(rng, inside)}
    if isinstance(inside, list) and inside and rng.random() < 0.7:
        place = rng.randrange(len(inside))
        one = inside[place]
        other: Any = a_label(rng) if isinstance(one, str) else a_value(rng, one)
        if isinstance(one, dict):
            other = changed(rng, one)
        return table | {key: [*inside[:place], other, *inside[place + 1 :]]}
    match rng.randrange(6):
        case 0 if table:
            del table[key]
        case 1 if table:
            table[rng.choice(WORDS)] = table.pop(key)
        case 2:
            table[rng.choice(NAMES)] = a_value(rng)
        case _:
            table[key] = a_value(rng, inside)
    return table


def a_label(rng: random.Random) -> str:
    """An estimator as a person types it, or nearly so."""
    name = rng.choice([entry.name for entry in registry.available()] if rng.random() < 0.7 else NAMES)
    options = [
        f"{rng.choice(OPTIONS)}={rng.choice([*map(as_typed, NUMBERS), *WORDS])}" for _ in range(rng.randrange(3))
    ]
    label = f"{name}[{','.join(options)}]" if options or rng.random() < 0.2 else name
    if rng.random() < 0.2:
        place = rng.randrange(len(label) + 1)
        label = label[:place] + rng.choice(("[", "]", "=", ",", " ", *WORDS)) + label[place:]
    return label


def as_typed(number: float) -> str:
    """A number as a person would type it, all of its digits too."""
    try:
        return str(number)
    except ValueError:  # more digits than Python writes
        return "9" * 5000


def shipped(rng: random.Random) -> dict[str, Any]:
    """A suite that ships, of a few of its problems and estimators, so that it is planned at once."""
    suite = tomllib.loads(rng.choice(sorted(SUITES.glob("*.toml"))).read_text())
    for name in ("problems", "estimators"):
        suite[name] = rng.sample(suite[name], min(len(suite[name]), rng.randrange(1, 4)))
    return suite


def of_values(rng: random.Random) -> bytes:
    """A suite that ships, with up to two things changed."""
    suite = shipped(rng)
    for _ in range(rng.choice((0, 1, 1, 2))):
        suite = changed(rng, suite)
    return _written(suite)


def of_bytes(rng: random.Random) -> bytes:
    """The text of one, with bytes changed."""
    text = bytearray(dumps(shipped(rng)).encode())
    for _ in range(rng.randrange(1, 6)):
        place = rng.randrange(len(text))
        match rng.randrange(5):
            case 0:
                text[place] = rng.randrange(256)
            case 1:
                del text[place : place + rng.randrange(1, 40)]
            case 2:
                text[place:place] = rng.choice(WORDS).encode("utf-8", "surrogatepass")
            case 3:
                text[place:place] = text[place : place + rng.randrange(1, 300)]
            case 4:
                text[place:place] = rng.choice(BYTES)
        if not text:
            break
    return bytes(text)


def near(rng: random.Random, default: Any) -> Any:
    """A value that a field may well take which has this default; None where its default does not say."""
    match default:
        case bool():
            return rng.random() < 0.5
        case int():
            return default + rng.randrange(2)
        case float():
            return default * rng.choice((0.5, 1, 2))
    return None


def of_schema(rng: random.Random) -> bytes:
    """A suite of fields that there are: with whatever values, or, a little oftener, with such as somebody may give."""
    odd = rng.random() < 0.4
    often = 0.4 if odd else 0.15  # many at once seldom go together

    def table(model: Any, given: dict[str, Any] | None = None) -> dict[str, Any]:
        names = [name for name in model.model_fields if name not in ("kind", *(given or ())) and rng.random() < often]
        values = {name: a_value(rng) if odd else near(rng, model.model_fields[name].default) for name in names}
        return (given or {}) | {name: value for name, value in values.items() if odd or value is not None}

    toy = {"kind": "toy", "objective": "cubic", "family": "bernoulli", "logits": [1]}
    if odd:
        suite = table(Suite, {"name": "a"})
        suite["problems"] = [table(cls, {"kind": kind}) for kind, cls in PROBLEMS.all().items() if rng.random() < 0.7]
        suite["problems"] += [toy] if rng.random() < 0.8 else []
        suite["estimators"] = [a_label(rng) if rng.random() < 0.7 else table(EstimatorConfig) for _ in range(2)]
    else:
        ships = shipped(rng)
        suite = table(Suite, {"name": "a", "problems": [], "estimators": ships["estimators"]})
        suite["problems"] = [toy, *(table(PROBLEMS.get(one["kind"]), one) for one in ships["problems"])]
    for name, cls in {**MEASUREMENTS.all(), "training": Optimisation}.items():
        if rng.random() < 0.5 or (name == "moments" and not odd):  # without which no toy is measured
            suite[name] = table(cls)
    return _written(suite)


def _written(suite: dict[str, Any]) -> bytes:
    try:
        return dumps(suite).encode("utf-8", "surrogatepass")
    except ValueError:  # a number that has no word in JSON, or too many digits: as a person would type it
        return repr(suite).encode("utf-8", "surrogatepass")[:4000]
