"""A record that is there and cannot be believed: which, where, and why, in words for whoever reads the run."""

from collections.abc import Sequence
from typing import NamedTuple

LEFT_OUT = "left out; gradest run makes those of its suite again"
"""What comes of a damaged record where records are read; one of a suite of before stays until a person deletes it."""
SHOWN = 5
"""Of many damaged records those that are named; the others are counted."""


class Damage(NamedTuple):
    """A record that no reader uses and that the next run makes again."""

    cell: str
    """The id that its file is named by."""
    path: str
    """Where it lies; a member of an archive stands after its archive, with a colon between them."""
    why: str
    """Half a sentence that follows the path."""

    def words(self) -> str:
        """All of it in a line."""
        return f"{self.path} {self.why}"

    def plain(self) -> dict[str, str]:
        """All of it as JSON has it."""
        return self._asdict()


def count(damaged: Sequence[Damage]) -> str:
    """`1 record is damaged`, `2 records are damaged`."""
    return "1 record is damaged" if len(damaged) == 1 else f"{len(damaged)} records are damaged"


def sentences(damaged: Sequence[Damage], what_comes_of_it: str = LEFT_OUT) -> list[str]:
    """What is said of damaged records: how many, what comes of them, and the first few by name; nothing of none."""
    if not damaged:
        return []
    more = len(damaged) - SHOWN
    return [
        f"{count(damaged)} and {what_comes_of_it}:",
        *(f"damaged: {one.words()}" for one in damaged[:SHOWN]),
        *([f"damaged: and {more} more"] if more > 0 else []),
    ]
