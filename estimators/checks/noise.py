"""The noise of an estimator, watched while it is drawn, and rare outcomes forced.

At |logit| 15 the rarer value of a bit is drawn once in three million times: plain sampling can neither confirm nor
refute what depends on it. Here the uniform noise of an estimator is drawn, now and then, from a logistic distribution
shifted by the row's |logit| or by a part of it, which makes rare outcomes common, and each draw carries its likelihood
ratio. The mixture is defensive: the weight of a row's draw never exceeds e. Weighted means are those of the plain
noise, whatever the estimator does with it. (Defensive importance sampling: T. Hesterberg, Technometrics 37, 1995.)
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.overrides import TorchFunctionMode

from estimators.integration.draws import SOURCES, axis_of, plain

REACHES = (0.6, 1.0)
"""The shift of a draw is one of these multiples of the whole one: where several numbers make a rare outcome together,
a part of it suffices for each."""


class Draw(NamedTuple):
    """One draw of noise."""

    source: str
    """What was called, such as torch.rand."""
    noise: Tensor
    """What it returned."""
    generator: Generator | None
    device_given: bool
    """Whether the call, if it creates a tensor, says on which device."""


class Watch(TorchFunctionMode):
    """Records every draw of noise that is made while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[Draw] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in SOURCES:
            return func(*args, **kwargs)
        noise = self.drawn(func, args, kwargs)
        creates = func in (torch.rand, torch.randn)
        self.draws.append(
            Draw(SOURCES[func], noise, kwargs.get("generator"), not creates or kwargs.get("device") is not None)
        )
        return noise

    def drawn(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
        """The noise of one call."""
        noise: Tensor = func(*args, **kwargs)
        return noise


class Forced(Watch):
    """Draws noise from the defensive mixture, and keeps the weight of every row."""

    def __init__(self, draws: int, shift: Tensor, count: int, generator: Generator) -> None:
        """Prepare.

        Args:
            draws: R; q has rows [R, B].
            shift: [B, D], logits by which the noise of a latent is shifted; 0 leaves it as it is.
            count: how many numbers of noise a row has in all; one of them is forced, on average.
            generator: chooses which numbers are forced, apart from the noise itself.
        """
        super().__init__()
        self.rows, self.choices = (draws, len(shift)), generator
        self.chance = 1 / (1 + count)
        self.which = (shift > 0).any(1).nonzero()[:, 0]
        self.shift = shift[self.which]
        self.log_weight = torch.zeros(self.rows, dtype=shift.dtype)
        """[R, B]"""
        self.untouched: list[str] = []
        """Sources whose rows could not be told, and whose noise is plain."""

    def drawn(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
        """The noise of one call, forced where it is known which row a number belongs to."""
        if func is torch.bernoulli or func is Tensor.bernoulli:
            probability: Tensor = args[0]
            if plain(args, kwargs) and axis_of(probability.shape, self.rows) is not None:
                u = torch.rand(probability.shape, dtype=probability.dtype, device=probability.device, **kwargs)
                return (self._force(u) < probability).to(probability.dtype)
        noise = super().drawn(func, args, kwargs)
        if axis_of(noise.shape, self.rows) is None or not noise.is_floating_point():
            self._leave(SOURCES[func], noise)
            return noise
        if func in (torch.rand, torch.rand_like) or (func is Tensor.uniform_ and plain(args, kwargs)):
            forced = self._force(noise)
        elif func in (torch.randn, torch.randn_like) or (func is Tensor.normal_ and plain(args, kwargs)):
            lower = torch.special.ndtr(-noise.abs())  # the smaller tail, which keeps its digits
            u = self._force(torch.where(noise < 0, lower, 1 - lower))
            forced = torch.where(u < 0.5, torch.special.ndtri(u), -torch.special.ndtri(1 - u))
        elif func is Tensor.exponential_ and plain(args, kwargs):
            forced = -torch.log1p(-self._force(-torch.expm1(-noise)))
        else:
            self._leave(SOURCES[func], noise)
            return noise
        noise.copy_(forced)
        return noise

    def _fitted(self, rest: torch.Size) -> Tensor:
        """The shift for noise of rows [..., *rest]: that of its latent, or the row's largest if it has no latents."""
        rows, latents = self.shift.shape
        if rest and rest[0] == latents:
            return self.shift.reshape(rows, latents, *[1] * (len(rest) - 1))
        return self.shift.amax(1).reshape(rows, *[1] * len(rest))

    def _leave(self, source: str, noise: Tensor) -> None:
        if noise.numel() > 1:
            self.untouched.append(source)

    def _force(self, u: Tensor) -> Tensor:
        """Uniform noise, some of it shifted; multiplies its likelihood ratio into the rows' weights."""
        axis = axis_of(u.shape, self.rows)
        assert axis is not None
        part = u.index_select(axis + 1, self.which)
        moves = [(reach, sign) for reach in REACHES for sign in (1, -1)]
        choice = torch.rand(part.shape, generator=self.choices).mul_(len(moves) / self.chance)
        shift = self._fitted(part.shape[axis + 2 :]).to(u)
        for index, (reach, sign) in enumerate(moves):
            chosen = (choice >= index) & (choice < index + 1)
            moved = torch.sigmoid(torch.logit(part[chosen]) + sign * reach * shift.expand_as(part)[chosen])
            part[chosen] = moved.clamp(torch.finfo(u.dtype).tiny, 1 - torch.finfo(u.dtype).eps / 2)
        # Densities of the noise shifted up and down; part is u, and rest 1 - u in the same digits.
        rest, density = 1 - part, torch.zeros_like(part)
        for reach in REACHES:
            odds = torch.exp(-reach * shift)
            density += (rest + part * odds).pow_(-2).add_((rest * odds).add_(part).pow_(-2)).mul_(odds)
        log_weight = density.mul_(self.chance / len(moves)).add_(1 - self.chance).log_()
        others = (*range(axis), *range(axis + 2, u.dim()))
        # A sum over no dims would be one over all.
        self.log_weight[:, self.which] -= log_weight.sum(others) if others else log_weight
        return u.index_copy(axis + 1, self.which, part)


def count_of(draws: Sequence[Draw], rows: Sequence[int]) -> int:
    """Numbers of noise that each of the rows takes, as far as it can be told."""
    known = (draw.noise for draw in draws if axis_of(draw.noise.shape, rows) is not None)
    return max(1, sum(noise.numel() for noise in known) // math.prod(rows))
