"""What a person reads whose suite file does not fit the schema."""

from pydantic import ValidationError

from bench.config import Config, EstimatorConfig
from bench.measure.basket import MomentsSettings
from bench.measure.elbo import ElboSettings
from bench.measure.wallclock import TimeSettings
from bench.problems.toys import ToyConfig
from bench.problems.vae import VAEConfig
from bench.suite.schema import Suite
from bench.training.trainer import Optimisation
from estimators.errors import unknown

_TABLES: dict[str, type[Config]] = {
    "vae": VAEConfig,
    "toy": ToyConfig,
    "training": Optimisation,
    "elbo": ElboSettings,
    "moments": MomentsSettings,
    "references": EstimatorConfig,
    "time": TimeSettings,
    "estimators": EstimatorConfig,
}


def explain(error: ValidationError) -> str:
    """The first fault of a suite in one line: where, what was typed, what is expected."""
    # A mistyped key often leaves another one missing: the typed one is the cause.
    first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"] if part not in ("vae", "toy")]
    where = ".".join(location) or "the suite"
    tables = [str(part) for part in first["loc"][:-1] if part in _TABLES]  # the last part is the key itself
    table = _TABLES[tables[-1]] if tables else Suite
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        place = f"in {'.'.join(location[:-1])}" if location[1:] else "at the top"
        return unknown("key", location[-1], list(table.model_fields), place) + more
    if first["type"] == "missing":
        return f"{where} is missing{more}"
    if first["type"] == "too_short":
        return f"{where} is empty; it needs at least one item{more}"
    if "options" in location:
        where = ".".join(location[: location.index("options") + 2])
        return f"{where}: an option is a number, true, false or a word, got {first['input']!r}"
    message = str(first["msg"]).removeprefix("Value error, ")
    given = first["input"]
    said = isinstance(given, dict) or (isinstance(given, str) and repr(given) in message)
    typed = "" if said else f", got {given!r}"
    return f"{where}: {message}{typed}{more}"
