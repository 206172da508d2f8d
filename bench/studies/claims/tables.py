"""What the tables say: the value of a claim's number."""

import inspect
import math
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel

from bench.studies.claims.source import Claim, Number
from estimators.errors import BadInput

Found = float | tuple[str, ...]
"""A number, or names."""


@cache
def table(path: Path) -> pd.DataFrame:
    """A published table, read once.

    Raises:
        BadInput: there is none, or it is of no format that is read.
    """
    if not path.exists():
        raise BadInput(f"there is no table {path}")
    match path.suffixes:
        case [*_, ".csv"] | [*_, ".csv", ".gz"]:
            return pd.read_csv(path, low_memory=False)
        case [*_, ".parquet"]:
            return pd.read_parquet(path)
        case [*_, ".jsonl"]:
            return pd.read_json(path, lines=True)
    raise BadInput(f"{path} is no csv, parquet or jsonl")


def setting(path: str) -> float:
    """A number that the code holds, `module:name.name`; the last name may be a parameter or a field with a default."""
    name, _, last = path.rpartition(".")
    try:
        return float(pkgutil.resolve_name(path))
    except AttributeError:
        holder = pkgutil.resolve_name(name)
    if inspect.isclass(holder) and issubclass(holder, BaseModel):
        return float(holder.model_fields[last].default)
    return float(inspect.signature(holder).parameters[last].default)


def _of_table(claim: Claim, number: Number, root: Path) -> Found:
    frame = table(root / "results" / (number.table or claim.table))
    rows = frame
    # One after the other, so that a number's condition may speak of the claim's rows: `variance == variance.min()`.
    for part in (claim.where if not number.table else "", number.where):  # columns of another table are others
        rows = rows.query(part, engine="python") if part else rows
    if rows.empty and not number.empty:
        hint = "; a count that is to be 0 says empty = true" if number.reduce == "count" else ""
        raise BadInput(f"no row where {number.where or claim.where}{hint}")
    if number.reduce == "count" and not number.value:
        return float(len(rows))
    column: Any = rows.eval(number.value or claim.value, engine="python")
    if column.isna().any():  # a statistic would leave it out, and no comparison with it says anything
        raise BadInput(f"{int(column.isna().sum())} of {len(column)} values are missing (NaN): leave their rows out")
    different = column.nunique(dropna=False)
    match number.reduce:
        case "count":
            return float(different)
        case "names":
            return tuple(column.unique())
        case "one" if different != 1:
            raise BadInput(f"{different} different values where {number.where or claim.where}, not one")
        case "one":
            return float(column.iloc[0])
    return float(getattr(column, number.reduce)())


def values(claim: Claim, root: Path) -> Mapping[str, Found]:
    """The value of each number of a claim, as it is written: a per cent as one.

    Raises:
        BadInput: what is asked for is not there.
    """
    found: dict[str, Found] = {}
    for name, number in claim.numbers.items():
        try:
            if number.of:
                value: Found = float(expression(number.of, found))
            else:
                value = setting(number.code) if number.code else _of_table(claim, number, root)
            if not isinstance(value, tuple) and not math.isfinite(value):
                raise BadInput(
                    "it is not a number (NaN)" if math.isnan(value) else "it is infinite, as no sentence says"
                )
        except Exception as error:  # pandas raises many kinds, with the column or the sign that it does not know
            raise BadInput(f"claim {claim.name}: {{{name}}} has no value: {error}") from error
        found[name] = value if isinstance(value, tuple) else value * number.factor
    return found


def expression(text: str, found: Mapping[str, Found]) -> Any:
    """An expression of numbers."""
    return pd.eval(text, engine="python", local_dict=dict(found))
