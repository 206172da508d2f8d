"""The checks dtype and finite, in every way to pass and to fail."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

import estimators
from estimators import Estimate
from estimators.checks import Result, precision, run_check
from estimators.checks.grid import Grid
from estimators.distributions import parameters
from estimators.families import family_named
from tests.estimators.still import BITS, DOUBLE, FINITE, KEPT, Call, Noted, Rule, Still, entry, ruled, subject_of

# The check dtype


class Parts(Still):
    """A part of what it returns is cast where q is of a kind."""

    part, kind, made = "value", DOUBLE, torch.float32

    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        found = found._replace(auxiliary=found.value)
        if self.kind != found.value.dtype:
            return found
        return found._replace(**{self.part: getattr(found, self.part).to(self.made)})


@pytest.mark.parametrize("part", ["surrogate", "value", "auxiliary"])
def test_what_is_returned_is_as_precise_as_q(part: str) -> None:
    for kind, to, words in (
        (torch.float64, torch.float32, "float32 where q is float64"),
        (torch.float32, torch.float64, "float64 where q is float32"),
        (torch.float32, torch.bfloat16, "bfloat16 where q is float32"),
    ):
        subject = subject_of(type("Of", (Parts,), {"part": part, "kind": kind, "made": to}))
        assert run_check("dtype", subject) == Result("dtype", "bernoulli", "failed", f"the {part} is {words}")


def drawing(*draws: Callable[[Call], Tensor]) -> Rule:
    def rule(self: Any, call: Call) -> Tensor | float:
        for draw in draws:
            draw(call)
        return 1.0

    return rule


def like(call: Call) -> Tensor:
    return torch.empty(2, dtype=call.cost.dtype)


def coarse(source: str) -> str:
    return (
        f"{source} draws float32 noise, in steps of 2^-24: an outcome rarer than 1e-6 comes too often or never. "
        "estimators.Noise(generator) has finer noise"
    )


def no_device(source: str) -> str:
    return f"{source} is called without a device: on a GPU it makes CPU noise"


def dtype_of(rule: Rule, family: str = "bernoulli") -> Result:
    return precision.dtype(ruled(rule, family=family))


@pytest.mark.parametrize(
    ("draw", "warnings"),
    [
        (lambda call: like(call).uniform_(generator=call.generator), (coarse("Tensor.uniform_"),)),
        (lambda call: torch.rand(2, generator=call.generator, dtype=DOUBLE), (no_device("torch.rand"),)),
        (
            lambda call: torch.rand(2, generator=call.generator, dtype=call.cost.dtype),
            (no_device("torch.rand"), coarse("torch.rand")),
        ),
        (
            lambda call: torch.rand(2, generator=call.generator, dtype=call.cost.dtype, device="cpu"),
            (coarse("torch.rand"),),
        ),
        (lambda call: torch.rand_like(like(call)), (coarse("torch.rand_like"),)),
        (lambda call: torch.randn(2, generator=call.generator, dtype=call.cost.dtype), (no_device("torch.randn"),)),
        (lambda call: torch.randint(0, 9, (2,), generator=call.generator), ()),
        (lambda call: like(call).exponential_(generator=call.generator), ()),
    ],
)
def test_coarse_noise_and_noise_without_a_device_are_warned_of(
    draw: Callable[[Call], Tensor], warnings: tuple[str, ...]
) -> None:
    found = dtype_of(drawing(draw, draw))
    assert found == Result("dtype", "bernoulli", "passed", KEPT, {}, warnings)
    of_gaussian = tuple(warning for warning in warnings if "without a device" in warning)
    assert dtype_of(drawing(draw), "gaussian") == Result("dtype", "gaussian", "passed", KEPT, {}, of_gaussian)


def test_noise_is_as_precise_as_q() -> None:
    too_coarse = (
        "in float32 a uniform number is a multiple of 2^-24, which is too coarse for rare outcomes. Give "
        "dtype=logits.dtype"
    )
    for kind, to, words in (
        (torch.float64, torch.float32, "float32 noise where q is float64"),
        (torch.float32, torch.bfloat16, "bfloat16 noise where q is float32"),
    ):

        def draw(call: Call, kind: torch.dtype = kind, to: torch.dtype = to) -> Tensor:
            return like(call).to(to if call.cost.dtype == kind else DOUBLE).normal_(generator=call.generator)

        assert dtype_of(drawing(draw)) == Result(
            "dtype", "bernoulli", "failed", f"Tensor.normal_ draws {words}: {too_coarse}"
        )


def bent(where: str, by: float, of_rows: int = 6) -> Rule:
    """The gradient of some rows is bent in the middle of a path along costs or logits, by steps of a millionth."""

    def rule(self: Any, call: Call) -> Tensor | float:
        first = parameters(call.q)[0]
        at = call.cost[0] / 2.4 if where == "scale" else first[0, 0]  # 1 where the path begins
        if call.rows != (6,) or call.cost.dtype != DOUBLE or abs(float(at.detach()) - 1 - 1e-6) > 1e-9:
            return 1.0
        return torch.cat((torch.full((of_rows,), 1 + by, dtype=DOUBLE), torch.ones(6 - of_rows, dtype=DOUBLE)))

    return rule


@pytest.mark.parametrize("where", ["scale", "values"])
def test_rounding_inside_shows_as_a_bend_of_a_smooth_path(where: str) -> None:
    """A bend of x is 2 x in the second difference, of which the median over the numbers of all rows counts."""
    for by, rounded in ((0.2, "4e-01"), (1e-6, "2e-06"), (1.6e-9, "3e-09"), (-1.6e-9, "3e-09")):
        assert dtype_of(bent(where, by)) == Result(
            "dtype",
            "bernoulli",
            "failed",
            f"in float64 the gradient is rounded at {rounded} of its size: something inside is computed in a lower "
            "precision, usually a .float() or a tensor made without dtype",
        )
    assert dtype_of(bent(where, 1.4e-9)).status == "passed"
    assert dtype_of(bent(where, 0.2, 4)).status == "failed"
    assert dtype_of(bent(where, 0.2, 3)).status == "passed"
    assert dtype_of(lambda self, call: 0.0) == Result("dtype", "bernoulli", "passed", KEPT)


def test_a_q_of_half_precision_has_finite_gradients() -> None:
    def rule(self: Any, call: Call) -> Tensor | float:
        (logits,) = parameters(call.q)
        half = logits.dtype == torch.float32 and torch.equal(logits, logits.bfloat16().float())
        factor = torch.ones(call.rows, dtype=call.cost.dtype)
        factor[-1] = math.nan if half else 1.0
        return factor

    assert dtype_of(rule) == Result("dtype", "bernoulli", "failed", "where q is in bfloat16 the gradient is not finite")


def test_what_dtype_calls_for(seen: list[dict[str, Any]]) -> None:
    subject = subject_of(Noted)
    assert precision.dtype(subject).status == "passed"
    grid = subject.small()
    assert [(call["q"].dtype, call["context"].dtype) for call in seen] == [
        (call["q"].dtype, call["q"].dtype) for call in seen
    ]
    assert [(call["q"].dtype, call["training"], call["seed"], call["samples"]) for call in seen] == [
        (DOUBLE, False, 11, 3),
        (torch.float32, False, 11, 3),
        *[(DOUBLE, False, 11, 3)] * 6,
        (torch.float32, False, 11, 3),
    ]  # fmt: skip
    assert all(call["cost"].dtype == call["q"].dtype for call in seen)
    step = [1.0, 1 + 1e-6, 1 + 2e-6]
    scaled = [(call["cost"] / seen[0]["cost"]).tolist() for call in seen[2:5]]
    assert scaled == [pytest.approx([k] * 6, rel=1e-12) for k in step]
    for call, k in zip(seen[5:8], step, strict=True):
        torch.testing.assert_close(call["q"], k * grid.values[0], rtol=1e-12, atol=0)
    for call in (*seen[:5], seen[8]):
        wanted = grid.values[0].bfloat16() if call is seen[8] else grid.values[0]
        torch.testing.assert_close(call["q"], wanted.to(call["q"]), rtol=0, atol=0)
    for call in seen:
        torch.testing.assert_close(call["context"], subject.context(6).to(call["context"]), rtol=0, atol=0)


def test_the_device_is_said_where_there_is_one(seen: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for a GPU, on which numbers lie where they lay."""
    moved: list[Any] = []
    make = torch.Generator

    def on(device: str) -> Generator:
        moved.append(device)
        return make()

    subject = subject_of(Noted)
    grid = subject.small()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with monkeypatch.context() as patch:
        patch.setattr(precision, "_moved", lambda of, at: "it stays" if of is subject and at == grid else None)
        assert precision.dtype(subject) == Result("dtype", "bernoulli", "failed", "it stays")
        patch.setattr(precision, "_moved", lambda of, at: None)
        assert precision.dtype(subject).message == KEPT + "; the device is kept"
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: moved.append(tuple(self.shape)) or self)
    monkeypatch.setattr(nn.Module, "cuda", lambda self: moved.append("module") or self)
    monkeypatch.setattr(precision.torch, "Generator", lambda *device: on(*device) if device else make())
    assert precision._moved(subject, grid) == "the surrogate is on the cpu where q is on a GPU"
    assert moved == [(6, 3), "module", "cuda", (6, 4), (6,)]
    assert (seen[-1]["seed"], seen[-1]["training"]) == (11, False)
    assert torch.equal(seen[-1]["context"], subject.context(6))


# The check finite


def not_finite_at(share: str, where: str, size: str, name: str) -> str:
    return f"{share} of the gradients are not finite at {where} with costs of {size} in {name}. {FINITE}"


def place(call: Call, family: str) -> tuple[str, float, torch.dtype]:
    """Where a call of the check is: at which q, of which size of costs, in which precision."""
    last = parameters(call.q)[-1].detach()
    size = float(call.cost.flatten()[0]) / 2.4
    if family == "gaussian":
        return f"scale {round(float(last.flatten()[0]), 6):g}", round(math.log10(abs(size))), call.cost.dtype
    largest = float(last.amax() - last.amin()) if family == "categorical" else float(last.abs().amax())
    return "|logit| 50" if largest < 60 else "infinite logits", round(math.log10(abs(size))), call.cost.dtype


PLACES = [
    (family, where, size, dtype)
    for family, extremes in (
        ("gaussian", ("scale 0.001", "scale 1000")),
        ("bernoulli", ("|logit| 50", "infinite logits")),
        ("categorical", ("|logit| 50", "infinite logits")),
    )
    for where in extremes
    for size in (-6, 6)
    for dtype in (torch.float64, torch.float32)
]


@pytest.mark.parametrize(("family", "where", "size", "dtype"), PLACES)
def test_every_extreme_is_looked_at(family: str, where: str, size: int, dtype: torch.dtype) -> None:
    def rule(self: Any, call: Call) -> Tensor | float:
        factor = torch.ones(call.rows, dtype=call.cost.dtype)
        if call.rows == (211, 6) and place(call, family) == (where, size, dtype):
            factor[:, 5] = math.inf
            factor[:, 4] = math.nan
        return factor

    name = str(dtype).removeprefix("torch.")
    words = not_finite_at("33.3%", where, "1e-06" if size < 0 else "1e+06", name)
    assert run_check("finite", ruled(rule, family=family)) == Result("finite", family, "failed", words)


def test_a_single_row_that_is_not_finite_counts() -> None:
    def rule(self: Any, call: Call) -> Tensor | float:
        factor = torch.ones(call.rows, dtype=call.cost.dtype)
        if call.rows == (211, 6):
            factor[7, 3] = math.inf
        return factor

    words = not_finite_at("0.1%", "|logit| 50", "1e-06", "float64")  # 1 of 1,266
    assert run_check("finite", ruled(rule)) == Result("finite", "bernoulli", "failed", words)


class NotFinite(Still):
    """Of ten rows, in its surrogate, in its value, or in the gradient of one number alone."""

    def forward(self, q, f, *, generator=None, context=None):
        found = super().forward(q, f, generator=generator, context=context)
        first = parameters(q)[0]
        rows = torch.arange(first[..., 0].numel()).reshape(first.shape[:-1])
        surrogate = (
            torch.where(rows == 0, math.nan, 1.0) + (first * torch.where(rows == 4, math.inf, 1.0)[..., None])[..., 2]
        )
        value = torch.where((rows == 2) | (rows == 0), math.inf, found.value)
        self.told = context
        return Estimate(surrogate, value)


def test_the_share_of_rows_in_which_anything_is_not_finite() -> None:
    grid = Grid("bernoulli", (3,), 1, levels=(1.0,))
    values = [v.expand(2, *v.shape) for v in grid.values]
    context = torch.ones(2, 6, 4, dtype=DOUBLE)
    estimator = NotFinite()
    assert precision._not_finite(estimator, grid, values, context, 1.0) == 3 / 12
    assert estimator.told is context
    assert precision._not_finite(estimator, grid, values, context[..., :0], 1.0) == 3 / 12
    assert estimator.told is None
    assert precision._not_finite(Still(), grid, values, context, 1.0) == 0.0
    assert precision._not_finite(Still(), grid, values, context, math.inf) == 1.0


ZERO = (
    "torch.rand returns exactly 0 once in 2^24 draws of float32, and then the gradient is not finite: clamp uniform "
    "noise away from 0 before a logarithm"
)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_noise_of_exactly_zero_is_warned_of(dtype: torch.dtype) -> None:
    def rule(self: Any, call: Call) -> Tensor | float:
        u = torch.rand(call.rows, generator=call.generator, dtype=call.cost.dtype)
        return u.log().clamp_max(1.0).abs() if call.cost.dtype == dtype else 1.0

    assert run_check("finite", ruled(rule, unbiased=False)) == Result(
        "finite", "bernoulli", "passed", BITS, {}, (ZERO,)
    )


def test_the_ends_of_the_noise_are_put_among_it() -> None:
    for dtype, most in ((torch.float64, 1 - 2.0**-52), (torch.float32, 1 - 2.0**-24)):
        g, again = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
        with precision.Edges() as watch:
            found = torch.rand(5, 20, generator=g, dtype=dtype)
            normal_ones = torch.randn(50, generator=g, dtype=dtype)
        expected = torch.rand(5, 20, generator=again, dtype=dtype).flatten()
        expected[torch.arange(0, 100, 11)] = most
        expected[torch.arange(0, 100, 7)] = 0.0
        assert torch.equal(found.flatten(), expected)
        assert torch.equal(normal_ones, torch.randn(50, generator=again, dtype=dtype))
        assert [draw.source for draw in watch.draws] == ["torch.rand", "torch.randn"]


def bends(share: str) -> str:
    return (
        f"the gradient does not grow in proportion to costs of a thousand (it bends by {share}): where costs, "
        "advantages or gradients are clipped, it is biased for costs larger than those that are sampled here"
    )


def clipped(by: float) -> Rule:
    """The gradient at costs of two thousand is less, by a share."""
    return lambda self, call: 1 - by if call.rows == (6,) and abs(float(call.cost[0]) / 2.4 - 2e3) < 1 else 1.0


def test_costs_that_are_clipped_are_warned_of() -> None:
    # The bend is 2 x of 2 (1 - x).
    for by, share in ((0.2, "25%"), (1.1e-6, "1e-06 of its size")):
        assert run_check("finite", ruled(clipped(by))) == Result(
            "finite", "bernoulli", "passed", BITS, {}, (bends(share),)
        )
    for quiet in (
        ruled(clipped(0.9e-6)),
        ruled(clipped(0.2), unbiased=False),
        ruled(clipped(0.2), bound="iwae"),
        ruled(lambda self, call: 0.0),
    ):
        assert precision._clipped(quiet, quiet.small(1)) is None
    assert precision._clipped(ruled(clipped(0.2)), subject_of(Still).small(1)) == bends("25%")


def test_certain_bits_and_masked_classes() -> None:
    logits = torch.arange(1.0, 13.0, dtype=DOUBLE).reshape(4, 3)
    found = family_named("bernoulli").extremes(logits)["infinite logits"][0]
    expected = logits / 50
    expected[:, 0] = torch.tensor([math.inf, -math.inf, math.inf, -math.inf])
    assert torch.equal(found, expected)
    classes = torch.arange(1.0, 13.0, dtype=DOUBLE).reshape(2, 2, 3)
    masked = classes / 50
    masked[:, 0, 0] = -math.inf
    assert torch.equal(family_named("categorical").extremes(classes)["infinite logits"][0], masked)
    assert torch.equal(classes, torch.arange(1.0, 13.0, dtype=DOUBLE).reshape(2, 2, 3))


def test_what_finite_calls_for(seen: list[dict[str, Any]]) -> None:
    subject = subject_of(entry(Noted, samples=(2, 2)))
    found = precision.finite(subject)
    assert found == Result("finite", "bernoulli", "passed", BITS)
    extremes, kinds = Grid("bernoulli", (3,), 2, levels=(50.0,)), (torch.float64, torch.float32)
    q = estimators.distributions.from_parameters("bernoulli", *extremes.values)
    plain = extremes.f(extremes.theta)(torch.zeros(1, 6, 3, dtype=DOUBLE), q)[0]
    assert [(call["rows"], call["seed"], call["training"], call["samples"], call["q"].dtype) for call in seen] == [
        *[((211, 6), 11, False, 2, kind) for kind in kinds for _ in range(4)],
        *[((211, 6), 11, False, 2, kind) for kind in kinds],
        *[((6,), 11, False, 2, DOUBLE)] * 3,
    ]  # fmt: skip
    for call in seen:
        torch.testing.assert_close(call["context"], subject.context(6).to(call["q"]).expand(*call["rows"], 4))
    for kind, part in zip(kinds, (seen[:4], seen[4:8]), strict=True):
        for size, call in zip((1e-6, 1e6), part[:2], strict=True):
            torch.testing.assert_close(call["q"], extremes.values[0].to(kind).expand(211, 6, 3), rtol=0, atol=0)
            torch.testing.assert_close(call["cost"], (size * plain).to(kind).expand(211, 6), rtol=1e-5, atol=0)
    middle = subject.small(2)
    for call in seen[8:10]:
        torch.testing.assert_close(call["q"], middle.values[0].to(call["q"]).expand(211, 6, 3), rtol=0, atol=0)
    assert [float(call["cost"][0]) for call in seen[10:]] == pytest.approx([0.0, 2400.0, 4800.0])
    assert float(seen[8]["cost"][0, 0]) == pytest.approx(2.4)
