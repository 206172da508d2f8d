"""What is kept of a training in progress, and who keeps it.

A training that a run was told to keep (`KEEPER`) leaves, every now and then and when it is stopped, all that its later
steps depend on. Another process that builds the same training and restores that goes on with the same numbers, bit for
bit on the CPU. Nothing here knows of files: what keeps a state is handed in by whoever runs the training.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from estimators.parts.sizes import is_unsized

State = dict[str, Any]
"""Tensors, numbers, words, and dicts, lists and tuples of them: what `torch.load(weights_only=True)` reads."""


class Keeper:
    """Keeps the state of a training; this one keeps nothing, and is what a training has that no run told otherwise."""

    seconds: float = 0.0
    """Of earlier parts of the same training, up to the state that was loaded."""
    resumed: int = 0
    """How often the training was resumed."""
    elsewhere: tuple[str, ...] = ()
    """The machines of earlier parts that are not this one."""

    def due(self) -> bool:
        """Whether `keep` is to be called; asked between two steps, and so cheap."""
        return False

    def keep(self, state: Callable[[], State]) -> None:
        """Keep what `state` returns, unless the run is to stop: then whoever is `stoppable` keeps it.

        Raises:
            Stopped: the run is to stop here; or a KeyboardInterrupt.
        """

    def load(self, present: State) -> State | None:
        """What was kept of this training; None where there is nothing that fits the state that it has at present."""
        return None

    def shared(self, name: str, make: Callable[[], State], *, of: Sequence[type], own: bool = False) -> State:
        """What is trained before cells are measured, made once: what is kept under the name, else what `make` returns.

        Args:
            name: hex digits, of all settings and data that it depends on.
            make: trains it, where nothing is kept under the name.
            of: classes that went into it. A change in the source of a person's own makes it anew; one in ours does not,
                so that published weights outlive a release.
            own: whether the cell's estimator went into it, so that a change of its source makes it anew.
        """
        return make()

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Steps are taken inside: a signal waits for the end of one, at which `due` is true."""
        yield

    @contextmanager
    def stoppable(self, state: Callable[[], State]) -> Iterator[None]:
        """Whatever stops what is inside keeps its state, if that is between two steps."""
        yield


KEEPER: ContextVar[Keeper] = ContextVar("keeper", default=Keeper())  # noqa: B039  # it has no state
"""What keeps the training that runs here."""


class _Seconds(Protocol):
    seconds: float


class _Kept(Protocol):
    def state(self) -> State: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class Progress:
    """A training in progress: its parts, the curve so far, and the seconds that its steps took.

    Args:
        clock: its `seconds` go on from those that were kept.
        steps: in all.
        form: of its steps, in a word; steps of another form differ in their last bits, and do not go on with these.
        parts: by name, each with a `state` and a `restore`; `trainer` among them.
    """

    def __init__(self, clock: _Seconds, steps: int, form: str, **parts: _Kept) -> None:
        self.clock, self.last, self.form, self.parts = clock, steps, form, parts
        self.curve: list[tuple[Any, ...]] = []
        """A row an evaluation."""

    def state(self) -> State:
        """All of it; tensors are those that the next step writes to."""
        parts: State = {name: part.state() for name, part in self.parts.items()}
        done = parts["trainer"]["steps"]
        parts[f"{self.form} steps"] = {}  # which do not fit those of another form
        return {"step": done, "steps": self.last, "clock": self.clock.seconds, "curve": self.curve, "parts": parts}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        for name, part in self.parts.items():
            part.restore(state["parts"][name])
        self.curve = list(state["curve"])
        self.clock.seconds = state["clock"]


def module_state(module: nn.Module) -> State:
    """Parameters and buffers by name, those that no `state_dict` holds too; None for what has no size yet."""
    own: State = module.state_dict(keep_vars=True)
    own |= {name: value for name, value in (*module.named_parameters(), *module.named_buffers()) if name not in own}
    return {name: _detached(value) for name, value in own.items()}


def _detached(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value  # of a module's own `get_extra_state`
    return None if is_unsized(value) else value.detach()


def restore_module(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Write a `module_state` into the tensors that are there; what has no size yet is given one, in place.

    Raises:
        ValueError: the module has other parameters or buffers.
    """
    present = module_state(module)
    if present.keys() != state.keys():
        raise ValueError(f"state of {sorted(state)}, where the module has {sorted(present)}")
    module.load_state_dict({name: value for name, value in state.items() if value is not None}, strict=False)
    known = module.state_dict(keep_vars=True)
    for name, buffer in module.named_buffers():
        if name not in known:
            buffer.copy_(state[name])


def restore_optimiser(optimiser: torch.optim.Optimizer, state: Mapping[int, Mapping[str, Any]]) -> None:
    """Write the `state` of an optimiser's state_dict into the tensors that are there.

    Before the first step there may be none: then the optimiser makes them. Those that the state lacks are of
    parameters that had had no gradient yet, for which an optimiser starts from zero.
    """
    present: State = optimiser.state_dict()
    if any(key not in present["state"].get(index, {}) for index, values in state.items() for key in values):
        optimiser.load_state_dict(present | {"state": {**present["state"], **state}})
        return
    for index, values in present["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                value.copy_(state[index][key]) if index in state else value.zero_()


def misfit(kept: Any, present: Any, where: str = "state") -> str | None:
    """Why a state cannot be restored into one that has the present state, in a few words; None where it can.

    An optimiser's state may be absent from either, and a tensor whose size is not known from one.
    """
    match kept, present:
        case (None, Tensor()) | (Tensor(), None):
            return None
        case Tensor(), Tensor():
            same = (kept.shape, kept.dtype) == (present.shape, present.dtype)
            return None if same else f"{where} is {_described(kept)}, where {_described(present)} is needed"
        case Mapping(), Mapping():
            if (other := kept.keys() ^ present.keys()) and not where.endswith("optimiser"):
                return f"{where} holds other things: {', '.join(sorted(map(str, other)))}"
            found = (misfit(kept[key], present[key], f"{where}.{key}") for key in kept.keys() & present.keys())
            return next(filter(None, found), None)
        case list(), list():
            if len(kept) != len(present):
                return f"{where} is of another length"
            found = (misfit(a, b, f"{where}.{i}") for i, (a, b) in enumerate(zip(kept, present, strict=True)))
            return next(filter(None, found), None)
    return None if type(kept) is type(present) else f"{where} is of another sort"


def _described(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
