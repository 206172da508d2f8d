"""How far two values of f at one z may be apart, at both sides of each threshold."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

from bench.measure.determined import check_determined
from bench.seeds import stream
from estimators import BadInput
from estimators.distributions import from_parameters, sample

LOGITS = torch.tensor([[0.5, -1.0, 2.0], [1.5, 0.0, -0.5]], dtype=torch.float64)


def in_turn(*values: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Distribution], Tensor]:
    """An f that at each call does the next of these to a cost of 4 a draw."""
    turns = iter(values)
    return lambda z, q: next(turns)(torch.full(z.shape[:-1], 4.0, dtype=z.dtype))


def same(x: Tensor) -> Tensor:
    return x


def off(by: float, at: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    def moved(x: Tensor) -> Tensor:
        x[at] -= by
        return x

    return moved


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_same_draws_give_the_same_up_to_64_roundings_of_the_largest(dtype: torch.dtype) -> None:
    q = from_parameters("bernoulli", LOGITS.to(dtype))
    one = 64 * torch.finfo(dtype).eps
    check_determined(in_turn(same, off(4 * one, (1, 0, 1)), same), q)
    with pytest.raises(
        BadInput, match=r"^f has noise of its own \(a state .*\): at one z it is 4, and then (4|3\.99997); the draws"
    ):
        check_determined(in_turn(same, off(4.2 * one, (1, 0, 1)), same), q)
    with pytest.raises(BadInput, match=r"at one z it is 4, and then 3\.5;"):
        check_determined(in_turn(same, off(0.5, (0, 1, 0)), same), q)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_draw_alone_gives_the_same_up_to_the_root_of_a_rounding_of_how_costs_differ(dtype: torch.dtype) -> None:
    """The last of two by two draws, at both rows; costs are 4 but for one that is 0, and 64 roundings come on top."""
    q = from_parameters("bernoulli", LOGITS.to(dtype))
    eps, spread = torch.finfo(dtype).eps, off(4.0, (0, 0, 0))
    limit = 4 * (math.sqrt(eps) + 64 * eps)
    check_determined(in_turn(spread, spread, off(0.999 * limit, (0, 0, 1))), q)
    with pytest.raises(
        BadInput, match=r"^f mixes its draws: at a z among others it is 4, at the same z alone (4|3\.99859)\. Let"
    ):
        check_determined(in_turn(spread, spread, off(1.001 * limit, (0, 0, 1))), q)
    with pytest.raises(BadInput, match=r"^f mixes its draws"):  # where all costs are the same, the roundings alone
        check_determined(in_turn(same, same, off(0.5 * limit, (0, 0, 1))), q)
    check_determined(in_turn(off(1.0, (1, 1, 0)), off(1.0, (1, 1, 0)), off(1.0, (0, 0, 0))), q)


def test_what_is_no_number_on_either_side_is_not_compared() -> None:
    q = from_parameters("bernoulli", LOGITS)
    for number in (math.inf, -math.inf, math.nan):
        check_determined(in_turn(off(number, (0, 0, 0)), same, same), q)
        check_determined(in_turn(same, off(number, (0, 0, 0)), off(number, (0, 0, 1))), q)
    with pytest.raises(BadInput, match="it is 4, and then 2;"):
        check_determined(in_turn(off(math.nan, (0, 0, 0)), off(2.0, (0, 1, 1)), same), q)
    nothing = in_turn(*(lambda x: x * math.nan for _ in range(3)))
    check_determined(nothing, q)


def test_f_is_evaluated_at_four_draws_twice_and_at_the_last_alone() -> None:
    """With parameters that are constants, and no graph; another shape is the estimator's to refuse."""
    seen = []

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        seen.append(z)
        assert not q.logits.requires_grad and not torch.is_grad_enabled()
        return z.sum(-1)

    q = from_parameters("bernoulli", LOGITS.clone().requires_grad_())
    check_determined(f, q)
    drawn = sample(q, 4, stream("determined")).unflatten(0, (2, 2))
    for z, expected in zip(seen, (drawn, drawn, drawn[1:, 1:]), strict=True):
        assert torch.equal(z, expected)
    shapes = itertools.count()
    check_determined(lambda z, q: torch.rand(next(shapes) + 7), q)
    assert next(shapes) == 2


def test_the_largest_difference_is_the_one_that_is_told() -> None:
    q = from_parameters("bernoulli", LOGITS)

    def both(x: Tensor) -> Tensor:
        return off(3.0, (1, 0, 0))(off(0.25, (0, 0, 0))(x))

    with pytest.raises(BadInput, match="at one z it is 4, and then 1;"):
        check_determined(in_turn(same, both, same), q)
    with pytest.raises(BadInput, match="at one z it is 1, and then 4;"):
        check_determined(in_turn(both, same, same), q)
