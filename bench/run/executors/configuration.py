"""The user's configuration: clusters by name, in a TOML file of their own.

    [scheduler.name]
    kind = "slurm"
    workers = 8
    walltime = "04:00:00"
    memory = "8GB"

The file is `$GRADEST_CONFIG`, or `gradest/config.toml` in `$XDG_CONFIG_HOME`, which is `~/.config` where it is not set.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.bounds import Workers
from estimators.errors import BadInput, nearest

KINDS = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "htcondor": "HTCondorCluster",
    "local": "local.LocalCluster",
}
"""Classes of dask_jobqueue."""
Kind = Literal["slurm", "pbs", "sge", "lsf", "htcondor", "local"]


class Table(BaseModel):
    """One cluster; what stands there beside these is an option of dask-jobqueue's class."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: Kind
    workers: Workers = 1
    """Jobs, of one worker each."""

    @property
    def options(self) -> dict[str, Any]:
        """Those of dask-jobqueue."""
        return dict(self.model_extra or {})


def path() -> Path:
    """Where the configuration lies, or would."""
    if given := os.environ.get("GRADEST_CONFIG"):
        return Path(given).expanduser()
    return platformdirs.user_config_path("gradest") / "config.toml"


def scheduler(name: str) -> Table:
    """The cluster of a name.

    Raises:
        BadInput: there is no such table, the file cannot be read, or something in it is wrong, in one line.
    """
    file = path()
    try:
        content = tomllib.loads(file.read_text())
    except FileNotFoundError as error:
        raise BadInput(
            f"--scheduler {name}: no address such as tcp://HOST:PORT, and there is no {file} with a table "
            f"[scheduler.{name}]"
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{file}: {' '.join(str(error).split())}") from error
    tables = content.get("scheduler", {})
    if other := [key for key in content if key != "scheduler"]:
        raise BadInput(f"{file}: nothing is known of {other[0]!r}; expected tables [scheduler.NAME]")
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise BadInput(f"{file}: expected tables [scheduler.NAME], each with a kind")
    if name not in tables:
        near = nearest(name, [*tables])
        known = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(tables) or 'none'}"
        raise BadInput(f"--scheduler {name}: {file} has no table [scheduler.{name}]; {known}")
    try:
        return Table.model_validate(tables[name])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("scheduler", name, *first["loc"])))
        raise BadInput(f"{file}: {where}: {first['msg']}" + _given(first)) from error


def _given(fault: Any) -> str:
    given = fault.get("input")
    return f", not {given!r}"[:80] if fault["type"] != "missing" else ""
