"""How each source of noise is forced, and which noise is left plain."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from estimators.checks.noise import Forced
from tests.estimators.still import DOUBLE

ROWS, LATENTS, REPEATS = 2, 3, 53


class HalfOf(Forced):
    """Halves uniform numbers in place of forcing them."""

    def __init__(self, shift: Tensor | None = None) -> None:
        given = torch.ones(ROWS, LATENTS, dtype=DOUBLE) if shift is None else shift
        super().__init__(REPEATS, given, 3, torch.Generator().manual_seed(1))

    def _force(self, u: Tensor) -> Tensor:
        return u / 2


def seeded() -> Generator:
    return torch.Generator().manual_seed(4)


SHAPE = (REPEATS, ROWS, LATENTS)


def numbers(*shape: int) -> Tensor:
    return torch.zeros(shape or SHAPE, dtype=DOUBLE)


FORCED: list[tuple[Callable[[], Tensor], Callable[[Tensor], Tensor]]] = [
    (lambda: torch.rand(SHAPE, generator=seeded(), dtype=DOUBLE), lambda x: x / 2),
    (lambda: numbers().uniform_(generator=seeded()), lambda x: x / 2),
    (
        lambda: torch.randn(SHAPE, generator=seeded(), dtype=DOUBLE),
        lambda x: torch.special.ndtri(torch.special.ndtr(x) / 2),
    ),
    (lambda: numbers().normal_(generator=seeded()), lambda x: torch.special.ndtri(torch.special.ndtr(x) / 2)),
    (lambda: numbers().exponential_(generator=seeded()), lambda x: -(1 - (1 - (-x).exp()) / 2).log()),
]


@pytest.mark.parametrize(("draw", "forced"), FORCED)
def test_each_source_is_forced_by_its_uniform_numbers(
    draw: Callable[[], Tensor], forced: Callable[[Tensor], Tensor]
) -> None:
    with HalfOf() as watch:
        found = draw()
    torch.testing.assert_close(found, forced(draw()))
    assert watch.untouched == []
    assert watch.draws[0].noise is found


def test_normal_noise_may_be_forced_to_the_upper_tail() -> None:
    class Mirrored(HalfOf):
        def _force(self, u: Tensor) -> Tensor:
            return 1 - u / 2

    plain = torch.randn(SHAPE, generator=seeded(), dtype=DOUBLE)
    with Mirrored():
        found = torch.randn(SHAPE, generator=seeded(), dtype=DOUBLE)
    torch.testing.assert_close(found, -torch.special.ndtri(torch.special.ndtr(plain) / 2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_bits_are_forced_by_the_numbers_that_decide_them(dtype: torch.dtype) -> None:
    chances = torch.linspace(0.1, 0.4, REPEATS * ROWS * LATENTS).reshape(SHAPE).to(dtype)
    u = torch.rand(SHAPE, generator=seeded(), dtype=dtype)
    with HalfOf() as watch:
        for found in (torch.bernoulli(chances, generator=seeded()), chances.bernoulli(generator=seeded())):
            assert torch.equal(found, (u / 2 < chances).to(dtype))
    assert watch.untouched == []
    assert [draw.source for draw in watch.draws] == ["torch.bernoulli", "Tensor.bernoulli"]


LEFT: list[tuple[str, Callable[[], Tensor]]] = [
    ("Tensor.uniform_", lambda: numbers().uniform_(1.0, 2.0, generator=seeded())),
    ("Tensor.normal_", lambda: numbers().normal_(mean=3.0, generator=seeded())),
    ("Tensor.normal_", lambda: numbers().normal_(3.0, generator=seeded())),
    ("Tensor.exponential_", lambda: numbers().exponential_(2.0, generator=seeded())),
    ("Tensor.bernoulli", lambda: numbers().bernoulli(0.3, generator=seeded())),
    ("Tensor.cauchy_", lambda: numbers().cauchy_(generator=seeded())),
    ("torch.bernoulli", lambda: torch.bernoulli(numbers(7) + 0.5, generator=seeded())),
    ("torch.rand", lambda: torch.rand(ROWS, REPEATS, generator=seeded(), dtype=DOUBLE)),
    ("torch.rand", lambda: torch.rand(REPEATS, ROWS, REPEATS, ROWS, generator=seeded(), dtype=DOUBLE)),
    ("torch.randint", lambda: torch.randint(9, SHAPE, generator=seeded())),
]


@pytest.mark.parametrize(("source", "draw"), LEFT)
def test_noise_of_another_law_or_of_other_rows_is_left(source: str, draw: Callable[[], Tensor]) -> None:
    with HalfOf() as watch:
        found = draw()
    assert torch.equal(found, draw())
    assert watch.untouched == [source]


def test_a_single_number_is_of_no_row_and_need_not_be_forced() -> None:
    with HalfOf() as watch:
        torch.rand((), generator=seeded())
        numbers(1).cauchy_(generator=seeded())
        torch.rand(2, generator=seeded())
    assert watch.untouched == ["torch.rand"]


def test_rows_with_any_shift_are_forced_each_latent_by_its_own() -> None:
    watch = HalfOf(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.5, 0.2], [4.0, 1.0, 2.0]]))
    assert watch.which.tolist() == [1, 2]
    assert watch.rows == (REPEATS, 3)
    assert watch.chance == 0.25
    assert (watch.log_weight.shape, watch.log_weight.dtype) == ((REPEATS, 3), torch.float32)
    own, most = torch.tensor([[0.0, 0.5, 0.2], [4.0, 1.0, 2.0]]), torch.tensor([0.5, 4.0])
    for rest, expected in (
        ((3,), own),
        ((3, 5), own[..., None]),
        ((), most),
        ((5,), most[:, None]),
        ((5, 3), most[:, None, None]),
    ):
        found = watch._fitted(torch.Size(rest))
        assert found.shape == expected.shape
        assert torch.equal(found, expected)


def test_forced_noise_keeps_its_precision() -> None:
    with Forced(REPEATS, torch.full((ROWS, LATENTS), 3.0, dtype=DOUBLE), 1, seeded()) as watch:
        found = torch.rand(SHAPE, generator=seeded())
    assert found.dtype == torch.float32
    assert watch.log_weight.dtype == DOUBLE
    assert not torch.equal(found, torch.rand(SHAPE, generator=seeded()))
