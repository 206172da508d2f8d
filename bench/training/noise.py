"""The random numbers of a step as its arguments: noted in one run, then drawn ahead and handed in.

A traced step cannot hold a generator. So one run is watched for the numbers that it draws, in their order; from then on
they are drawn into tensors before each step, from the same generators and in the same order. On the CPU these are the
very numbers that the step would have drawn itself.
"""

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import numpy
import torch
from torch import Generator, Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from estimators.elsewhere import Elsewhere

aten = torch.ops.aten
UNIFORM = {aten.rand.default, aten.rand.generator}
NORMAL = {aten.randn.default, aten.randn.generator}
WHOLE = {aten.randint.default, aten.randint.generator, aten.randint.low, aten.randint.low_generator}

READS = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.masked_select.default,
    aten.nonzero.default,
    aten.repeat_interleave.Tensor,
}
"""What waits for a value, or makes as many numbers as values say."""


class Untraceable(Exception):
    """What is done cannot be made a program; the message says why, and reads on from "because "."""


class Draw(NamedTuple):
    """One call that draws numbers."""

    kind: str
    """uniform, normal or whole."""
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    generator: Generator | None
    """None for torch's global one."""
    least: int = 0
    beyond: int = 1
    """Whole numbers are from `least` to `beyond` - 1."""

    def empty(self, steps: int) -> Tensor:
        """Room for the numbers of so many steps, [steps, *shape]."""
        return aligned(steps, self.shape, self.dtype, self.device)

    def into(self, place: Tensor) -> None:
        """Draw the numbers."""
        if self.kind == "uniform":
            place.uniform_(generator=self.generator)
        elif self.kind == "normal":
            place.normal_(generator=self.generator)
        else:
            place.random_(self.least, self.beyond, generator=self.generator)

    @property
    def like(self) -> tuple[Any, ...]:
        """What must be the same in every step."""
        return self.kind, self.shape, self.dtype, self.least, self.beyond


ALIGNED = 64
"""Numbers: those of a step begin at a multiple of it."""


def aligned(steps: int, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros [steps, *shape], each step's in memory where a tensor of its own may begin.

    Compiled code copies what lies elsewhere, at every call.
    """
    numbers = math.prod(shape)
    whole = torch.zeros(steps, -(-numbers // ALIGNED) * ALIGNED, dtype=dtype, device=device)
    return whole[:, :numbers].unflatten(-1, tuple(shape)) if shape else whole[:, 0]


def _as_draw(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Draw | None:
    """The call, if it is one that draws."""
    dtype = kwargs.get("dtype") or (torch.int64 if func in WHOLE else torch.get_default_dtype())
    more = (dtype, torch.device(kwargs.get("device") or "cpu"), kwargs.get("generator"))
    if func in UNIFORM or func in NORMAL:
        return Draw("uniform" if func in UNIFORM else "normal", tuple(args[0]), *more)
    if func in WHOLE:
        *bounds, size = args
        return Draw("whole", tuple(size), *more, least=bounds[0] if bounds[1:] else 0, beyond=bounds[-1])
    return None


class Noted(TorchDispatchMode):
    """Notes what is drawn within, and refuses what cannot be drawn ahead, or be a program at all.

    Raises:
        Untraceable: a value is read back, numbers are drawn whose law depends on tensors, or not by torch.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types
        self.draws: list[Draw] = []
        self.calls = 0
        """Operations that make something, of whatever kind."""
        self.largest = 0
        """Numbers in the largest tensor that one of them makes."""
        self.before: list[tuple[Generator, Tensor]] = []
        """Generators and what their states were, in the order in which they were used."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call, and note it if it draws."""
        kwargs = kwargs or {}
        if (draw := _as_draw(func, args, kwargs)) is not None:
            self.draws.append(draw)
            if draw.generator is not None:
                self.before.append((draw.generator, draw.generator.get_state()))
        elif func in READS:
            raise Untraceable(f"{func} reads values back")
        elif torch.Tag.nondeterministic_seeded in func.tags:
            raise Untraceable(f"{func} draws numbers that cannot be drawn ahead")
        result = func(*args, **kwargs)
        if not func.is_view:
            self.calls += 1
            made = result if isinstance(result, tuple | list) else (result,)
            self.largest = max(self.largest, *(part.numel() for part in made if isinstance(part, Tensor)), 0)
        return result

    def __enter__(self) -> Self:
        self._elsewhere = Elsewhere().__enter__()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        super().__exit__(kind, *rest)  # type: ignore[no-untyped-call]
        self._elsewhere.__exit__()
        if kind is None and self._elsewhere.found:
            raise Untraceable("it draws numbers from Python's or numpy's generator")


@contextmanager
def generators_left_alone() -> Iterator[None]:
    """Give Python's and numpy's generators the states that they had."""
    of_python, of_numpy = random.getstate(), numpy.random.get_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        numpy.random.set_state(of_numpy)


class Given(TorchDispatchMode):
    """Hands out numbers in the place of drawing them.

    Args:
        draws: what is drawn, in its order.
        numbers: of each.

    Raises:
        Untraceable: other numbers are asked for.
    """

    def __init__(self, draws: Sequence[Draw], numbers: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives it no types
        self.draws, self.numbers, self.used = draws, numbers, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """The next numbers, a copy, since whoever draws may change them in place; any other call as it is."""
        kwargs = kwargs or {}
        draw = _as_draw(func, args, kwargs)
        if draw is None:
            return func(*args, **kwargs)
        if self.used >= len(self.draws) or self.draws[self.used].like != draw.like:
            raise Untraceable("it draws other numbers in one step than in the next")
        self.used += 1
        return self.numbers[self.used - 1].clone()

    def check_all_used(self) -> None:
        """Whether all was asked for.

        Raises:
            Untraceable: there were fewer calls than before.
        """
        if self.used != len(self.draws):
            raise Untraceable("it draws other numbers in one step than in the next")
