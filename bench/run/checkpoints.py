"""Checkpoints of cells in progress: one file a cell, `DIR/checkpoints/<id>.pt`, that a reader never sees half of.

A file is sealed (`bench.run.sealed`): a `Header`, and what `bench.training.checkpoint` has to keep, as torch saves it.
Nothing here needs torch: how far a cell is stands in the header.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.run.files import TEMPORARY, write_atomic
from bench.run.sealed import TORN, Unusable, content_of, is_whole, parts, seal

SCHEMA = 1
MAGIC = b"gradest checkpoint\n"
_NAME = re.compile(r"[0-9a-f]{16}\.pt")


class Header(BaseModel):
    """What is to be known of a checkpoint before it is used."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA
    cell: str
    title: str
    step: int
    """That is done."""
    steps: int
    """In all."""
    seconds: float
    """That the cell has taken so far, in all its parts."""
    resumed: int
    """How often the cell had been resumed before."""
    machines: tuple[str, ...]
    """On which its parts were made."""
    made_by: Mapping[str, str]
    """Versions and sources that a state belongs to: all that may change under a cell that stays the same."""


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "checkpoints"

    def path(self, cell_id: str) -> Path:
        """Where the checkpoint of a cell is written."""
        return self.folder / f"{cell_id}.pt"

    def write(self, header: Header, state: bytes) -> None:
        """Put a checkpoint into place, atomically; the last of several writers of a cell wins."""
        write_atomic(self.path(header.cell), seal(MAGIC, header.model_dump_json(), state))

    def read(self, cell_id: str) -> tuple[Header, bytes] | None:
        """The checkpoint of a cell; None where there is none.

        Raises:
            Unusable: it is not whole, not ours, of another release's form or of another cell.
        """
        if (content := content_of(self.path(cell_id), MAGIC)) is None:
            return None
        header, state = _parted(content)
        if not is_whole(MAGIC, content):
            raise Unusable(TORN)
        if header.cell != cell_id:
            raise Unusable(f"is of another cell, {header.cell}")
        return header, state

    def step(self, cell_id: str) -> int:
        """How far a cell is, by its checkpoint; 0 where that cannot be used."""
        with suppress(Unusable):
            if (found := self.read(cell_id)) is not None:
                return found[0].step
        return 0

    def headers(self) -> Iterator[Header]:
        """Those of the checkpoints that are whole, by cell id."""
        for path in self._files():
            with suppress(Unusable):
                if (found := self.read(path.stem)) is not None:
                    yield found[0]

    def remove(self, cells: Iterable[str]) -> None:
        """Remove the checkpoints of some cells, where there are any; nothing else that lies in the folder."""
        unwanted = set(cells)
        for path in [*self._files(), *self.folder.glob(".*.tmp")]:
            # A process that was killed as it wrote one has left it under a name of before.
            temporary = TEMPORARY.fullmatch(path.name)
            name = Path(temporary["name"] if temporary else path.name)
            if name.stem in unwanted and _NAME.fullmatch(name.name):
                with suppress(OSError):  # a folder of that name, or gone meanwhile
                    path.unlink()

    def tidy(self) -> None:
        """Remove the folder where nothing lies in it."""
        with suppress(OSError):
            self.folder.rmdir()

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.pt") if _NAME.fullmatch(path.name))


def _parted(content: bytes) -> tuple[Header, bytes]:
    """The header and what follows.

    Raises:
        Unusable: this is no checkpoint, or one of another release's form.
    """
    if not content.startswith(MAGIC):
        whole = content and not MAGIC.startswith(content)
        raise Unusable("is no checkpoint of gradest" if whole else TORN)
    line, state = parts(MAGIC, content)
    try:
        header = Header.model_validate_json(line)
    except ValidationError as error:
        if found := re.match(rb'\{"schema_version":([0-9]+),', line):
            _refuse_other(int(found[1]))
        raise Unusable(TORN) from error
    _refuse_other(header.schema_version)
    return header, state


def _refuse_other(schema: int) -> None:
    if schema != SCHEMA:
        age = "a later" if schema > SCHEMA else "an earlier"
        raise Unusable(f"was written by {age} release (schema {schema}, where this one reads {SCHEMA})")
