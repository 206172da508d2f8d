"""Tables of the literature from their files."""

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from bench.published.table import Table
from estimators.errors import BadInput, guess, missing, nearest

TABLES = Path(__file__).parent
Kind = TypeVar("Kind", bound=BaseModel)


def tables() -> dict[str, Table]:
    """All that come with the package, by name.

    Raises:
        BadInput: one of them is wrong.
    """
    return {path.stem: read_table(path) for path in sorted(TABLES.glob("*.toml"))}


def read_table(path: Path) -> Table:
    """Read a file of published numbers.

    Raises:
        BadInput: as `read_file`.
    """
    return read_file(path, Table)


def read_file(path: Path, kind: type[Kind]) -> Kind:
    """Read a file of published numbers of one kind.

    Raises:
        BadInput: it is not there, not TOML, or not such a table; one line that names the file and the first fault.
    """
    if not path.is_file():
        raise BadInput(missing("file", path))
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise BadInput(f"{path.name}: {_fault(error)}") from error
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, or of a number of thousands of digits
        raise BadInput(f"{path.name} is not valid TOML: {str(error).partition('; use sys.')[0]}") from error


def _fault(error: ValidationError) -> str:
    """The first fault, where it is, and what was meant: a key that is unknown is what another one is missing for."""
    faults = error.errors()
    unknown = [fault for fault in faults if fault["type"] == "extra_forbidden"]
    first = (unknown or faults)[0]
    where = ".".join(str(part) for part in first["loc"])
    if unknown:
        lacking = [str(fault["loc"][-1]) for fault in faults if fault["loc"][:-1] == first["loc"][:-1]]
        near = nearest(str(first["loc"][-1]), [key for key in lacking if key != first["loc"][-1]])
        return f"unknown key {where!r}; {guess(near) if near else 'leave it out'}"
    return f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
