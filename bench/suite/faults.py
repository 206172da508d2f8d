"""What a person reads whose suite file does not fit the schema."""

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
from bench.suite.schema import Suite
from bench.training.settings import Optimisation
from estimators.errors import unknown

_TABLES: dict[str, type[Config]] = {
    "training": Optimisation,
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
    # A mistyped key often leaves another one missing: the typed one is the cause.
    first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"]]
    where = ".".join(location) or "the suite"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        place = f"in {'.'.join(location[:-1])}" if location[1:] else "at the top"
        return unknown("key", location[-1], list(_table_of(location, data).model_fields), place) + more
    if first["type"] == "missing":
        return f"{where} is missing{more}"
    if first["type"] == "too_short":
        return f"{where} is empty; it needs at least one item{more}"
    if "options" in location:
        where = ".".join(location[: location.index("options") + 2])
        return f"{where}: an option is a number, true, false or a word, got {shown(first['input'])}"
    is_list = first["type"] in ("tuple_type", "list_type")
    message = "expected a list" if is_list else str(first["msg"]).removeprefix("Value error, ")
    given = first["input"]
    said = isinstance(given, dict) or (isinstance(given, str) and repr(given) in message)
    typed = "" if said else f", got {shown(given)}"
    return f"{where}: {message}{typed}{more}"
