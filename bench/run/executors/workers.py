"""Where the workers of a dask cluster come from, whoever starts them."""

from typing import Any, Protocol


class Workers(Protocol):
    """Where workers come from."""

    here: bool
    """Whether they are processes that this one starts, with its code; then it runs timing cells itself."""
    name: str
    """Of their cluster, in a sentence."""
    patience: float
    """Seconds in which the first of them is ready."""
    absence: float
    """Seconds in which there may be none, later on: whoever looks after them may start others."""

    def start(self) -> Any:
        """A client (`distributed.Client`) of a scheduler to which the workers come, soon or late.

        Raises:
            BadInput: they cannot be had.
        """
        ...

    def stop(self) -> None:
        """End what `start` began, at once: what still runs there is not wanted any more."""
        ...

    def how_died(self, worker: str) -> str:
        """How the process of that address ended, as in `was killed by SIGKILL`."""
        ...

    def trouble(self) -> str | None:
        """Why workers that were asked for will not come, in a line; None where nothing is known of that."""
        ...
