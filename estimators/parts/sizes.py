"""Own parameters and running state that are sized after they were made, and stay the same objects.

An optimiser trains the objects that it was made with. So what `bind`, the first call or a saved state sizes is resized
in place, and a parameter whose size is not known from the start is there all the same, as `Unsized`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Generator, Tensor, nn
from torch.nn.parameter import UninitializedParameter, UninitializedTensorMixin  # type: ignore[attr-defined]


class Sizes(NamedTuple):
    """What own parameters and running state are sized by; `Estimator.bind` says what each of them is."""

    stack: tuple[int, ...] = ()
    context_size: int = 0
    event: tuple[int, ...] = ()
    generator: Generator | None = None


class Unsized(UninitializedParameter):
    """An own parameter without a size yet; whatever needs one is refused in one line, as by an optimiser's state."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Pickled with its precision and device, which torch's own forgets."""
        return type(self), (self.requires_grad, self.device, self.dtype)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze or thaw it, as any other parameter."""
        self.requires_grad = requires_grad
        return self

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """torch's own, with a message that says how to give the parameter its size."""
        try:
            return super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
        except ValueError as error:
            raise ValueError(
                f"a parameter of the estimator has no size yet, which {getattr(func, '__name__', 'this')} needs: make "
                "the estimator with create(like=q), or call bind(event=...) or the estimator itself before"
            ) from error


def unsized() -> nn.Parameter:
    """A new `Unsized`, which becomes a parameter like any other when it is resized."""
    return cast(nn.Parameter, Unsized())


def is_unsized(own: Tensor) -> bool:
    """Whether it has no size yet.

    torch's is_lazy asks the same and cannot be traced; the class of parameters takes isinstance through Python.
    """
    return isinstance(own, UninitializedTensorMixin)


class Resizable(nn.Module):
    """A module whose own parameters and buffers are resized in place.

    Until their sizes were asked for, by `resize`, it takes those of a state that it is given.
    """

    sized = False

    def resize(self, own: Tensor, value: Tensor) -> None:
        """Give an own parameter or buffer the sizes and values of another tensor, in its own precision and place."""
        _become(own, value)
        self.sized = True

    def _save_to_state_dict(self, *arguments: Any) -> None:
        """torch's, without what has no size yet."""
        with self._aside(self._unsized()):
            super()._save_to_state_dict(*arguments)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """torch's, after the sizes; what had none where the state was saved either is not missing."""
        waiting = self._unsized()
        for name, own in (*self._parameters.items(), *self._buffers.items()):
            saved = state_dict.get(prefix + name)
            if own is None or not isinstance(saved, Tensor):
                continue
            if is_unsized(own) or (own.shape != saved.shape and not self.sized):
                _become(own, torch.zeros(saved.shape))
        found = any(prefix + name in state_dict for name in waiting)
        with self._aside([] if found else waiting):
            super()._load_from_state_dict(state_dict, prefix, *rest)

    def _unsized(self) -> list[str]:
        return [name for name, own in self._parameters.items() if own is not None and is_unsized(own)]

    @contextmanager
    def _aside(self, names: Sequence[str]) -> Iterator[None]:
        """Without these parameters, as torch sees it."""
        kept = {name: self._parameters[name] for name in names}
        self._parameters.update(dict.fromkeys(names))
        try:
            yield
        finally:
            self._parameters.update(kept)


def _become(own: Tensor, value: Tensor) -> None:
    if isinstance(own, UninitializedParameter):
        own.materialize(value.shape)
    own.data = value.to(own.data)
    own.grad = None  # an old gradient has the old sizes
