"""What a person reads whose suite file does not fit the schema."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from bench.bounds import shown
from bench.config import Config, EstimatorConfig
from bench.measure.base import MEASUREMENTS
from bench.measure.basket import MomentsSettings
from bench.measure.elbo import ElboSettings
from bench.measure.wallclock import TimeSettings
from bench.problems.base import PROBLEMS
from bench.suite.schema import LeftOut, Override, Suite
from bench.training.settings import Optimisation
from estimators.errors import unknown

_ALTERNATIVE = re.compile(r"(literal|tuple|function-[a-z]+|constrained-[a-z]+)\[.*\]")
"""What pydantic puts into the location of a fault for each type that a value might have had."""
_TABLES: dict[str, type[Config]] = {
    "training": Optimisation,
    "overrides": Override,
    "leave_out": LeftOut,
    "elbo": ElboSettings,
    "moments": MomentsSettings,
    "references": EstimatorConfig,
    "time": TimeSettings,
    "estimators": EstimatorConfig,
}


def _table_of(location: list[str], data: Mapping[str, Any]) -> type[Config]:
    """The table of a suite's data in which the key at a location stands; the location begins with a key of the suite.

    The last part of a location is the key itself.
    """
    match location:
        case ["problems", index, _, *_]:
            return PROBLEMS.get(data["problems"][int(index)]["kind"])
        case ["measurements", name, _, *_]:
            return MEASUREMENTS.get(name)
    tables = [part for part in location[:-1] if part in _TABLES]
    return _TABLES[tables[-1]] if tables else Suite


def explain(error: ValidationError, data: Mapping[str, Any]) -> str:
    """The first fault of a suite's data in one line: where, what was typed, what is expected."""
    # A list whose every item is at fault is then said to be too short as well.
    found = error.errors()
    inside = {fault["loc"][:end] for fault in found for end in range(len(fault["loc"]))}
    faults = [fault for fault in found if not (fault["type"] == "too_short" and fault["loc"] in inside)]
    # A mistyped key often leaves another one missing: the typed one is the cause.
    first = min(faults, key=lambda fault: fault["type"] != "extra_forbidden")
    or_a_list = ""
    if first["loc"] and _ALTERNATIVE.fullmatch(str(first["loc"][-1])):
        at = first["loc"][:-1]
        others = [one for one in faults if one["loc"][: len(at)] == at]
        first = max(others, key=lambda one: len(one["loc"]))  # of what may be a word or a list: the item of the list
        or_a_list = ", or a list" if any(one["type"] == "tuple_type" for one in others) else ""
    location = [str(part) for part in first["loc"] if not _ALTERNATIVE.fullmatch(str(part))]
    where = ".".join(location) or "the suite"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    if first["type"] == "extra_forbidden":
        place = f"in {'.'.join(location[:-1])}" if location[1:] else "at the top"
        return unknown("key", location[-1], list(_table_of(location, data).model_fields), place) + more
    if first["type"] == "missing":
        return f"{where} is missing{more}"
    if first["type"] == "too_short" and not first["input"]:
        return f"{where} is empty; it needs at least one item{more}"
    if "options" in location:
        where = ".".join(location[: location.index("options") + 2])
        return f"{where}: an option is a number, true, false or a word, got {shown(first['input'])}"
    is_list = first["type"] in ("tuple_type", "list_type")
    message = "expected a list" if is_list else str(first["msg"]).removeprefix("Value error, ") + or_a_list
    given = first["input"]
    said = isinstance(given, dict) or (isinstance(given, str) and repr(given) in message)
    typed = "" if said else f", got {shown(given)}"
    return f"{where}: {message}{typed}{more}"
