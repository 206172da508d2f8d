"""Weights that cells of a run share: one file each, `DIR/weights/<name>.pt`, which a published run keeps.

A file is sealed (`bench.run.sealed`): a `Header`, and the weights, as torch saves them.
"""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from bench.run.sealed import TORN, Unusable, content_of, is_whole, parts, seal
from bench.run.store import write_atomic

SCHEMA = 1
MAGIC = b"gradest weights\n"


class Later(Unusable):
    """A file of a later release, which nothing is written over."""


class Header(BaseModel):
    """What made the weights."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA
    name: str
    made_by: Mapping[str, str]
    """Versions, sources and the machine: their rounding and their code went into the numbers."""


class Weights:
    """The weights of one run."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "weights"

    def path(self, name: str) -> Path:
        """Where they are kept under a name."""
        return self.folder / f"{name}.pt"

    def write(self, name: str, made_by: Mapping[str, str], state: Mapping[str, Any], *, replace: bool) -> None:
        """Put them into place, atomically; the first of several writers wins unless what is there is damaged.

        Raises:
            Unusable: a later release wrote what is there, which stays.
        """
        if self.path(name).exists():
            if not replace:
                return
            try:
                self.read(name, {})
            except Later:
                raise
            except Unusable:
                pass
        packed = io.BytesIO()
        torch.save(dict(state), packed)
        header = Header(name=name, made_by=made_by).model_dump_json()
        write_atomic(self.path(name), seal(MAGIC, header, packed.getvalue()))

    def read(self, name: str, made_by: Mapping[str, str]) -> tuple[Header, dict[str, Any]] | None:
        """What is kept under a name; None where nothing is.

        Args:
            name: see `write`.
            made_by: what must have made it.

        Raises:
            Unusable: the file is not whole, not ours, of another release's form or name, or not made by that.
        """
        if (content := content_of(self.path(name), MAGIC)) is None:
            return None
        if not content.startswith(MAGIC):
            raise Unusable("holds no weights of gradest")
        if not is_whole(MAGIC, content):
            raise Unusable(TORN)
        line, packed = parts(MAGIC, content)
        try:
            header = Header.model_validate_json(line)
            if header.schema_version > SCHEMA:
                raise Later(
                    f"was written by a later release (schema {header.schema_version}, where this reads {SCHEMA})"
                )
            if (header.name, header.schema_version) != (name, SCHEMA):
                raise Unusable(f"is of {header.name}, schema {header.schema_version}")
            if other := [key for key, value in made_by.items() if header.made_by.get(key) != value]:
                raise Unusable(f"is of before {other[0]} changed")
            return header, dict(torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True))
        except ValidationError as error:
            if (found := re.match(rb'\{"schema_version":([0-9]{1,9}),', line)) and int(found[1]) > SCHEMA:
                raise Later(
                    f"was written by a later release (schema {int(found[1])}, where this reads {SCHEMA})"
                ) from error
            raise Unusable(TORN) from error
