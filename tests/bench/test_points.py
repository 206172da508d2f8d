"""What a record holds of one estimator at one point, of gradients that are known one by one."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution

from bench.measure.encoder import Encoder, recorded
from bench.measure.points import Reference, exact_reference, long_run_reference
from bench.problems.vae import VAE, VAEConfig
from bench.seeds import derive
from bench.statistics import two_sided, variance_interval, variance_log_se
from estimators.distributions import event_dims, from_parameters, parameters
from tests.bench.plain import measure_point, noise_of
from tests.bench.scripted import Scripted
from tests.bench.squared_bias import squared_bias_interval

Array = NDArray[np.float64]
DOUBLE = torch.float64


def bits(rows: int, size: int, logit: float = 0.0) -> Distribution:
    return from_parameters("bernoulli", torch.full((rows, size), logit, dtype=DOUBLE))


def cost(z: Tensor, q: Distribution, /) -> Tensor:
    return z.sum(event_dims(q))


def exactly(gradient: Any) -> Reference:
    gradient = torch.as_tensor(gradient, dtype=DOUBLE)
    return Reference(gradient, torch.zeros_like(gradient), "known")


def measured(table: Any, reference: Reference, q: Distribution | None = None, **options: Any) -> dict[str, Any]:
    table = torch.as_tensor(table, dtype=DOUBLE)
    encoder = options.pop("encoder", None)
    q = q if q is not None else bits(*table.shape[1:])
    return measure_point(Scripted(table, **options), q, cost, reference, draws=len(table), seed=0, encoder=encoder)


def flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for key, value in record.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def johnsons_z(g: Array, target: Array, noise: Array | float = 0.0) -> Array:
    """[P] of draws [n, P]: (d + m / 6 s^2 n + m d^2 / 3 s^4) sqrt(n) / s, Johnson's (1978) t, with d the deviation."""
    n, d = len(g), g.mean(0) - target
    m = ((g - g.mean(0)) ** 3).mean(0)
    square = g.var(0, ddof=1) + n * noise  # of a draw's and the reference's error, as if it were all a draw's
    return np.asarray((d + m / (6 * square * n) + m * d**2 / (3 * square**2)) * np.sqrt(n / square))


RNG = np.random.default_rng(11)
TABLE = np.round(RNG.exponential(size=(60, 2, 3)) * [[1.0, 2.0, 0.5], [3.0, 0.7, 1.2]] + [1.0, -3.0, 0.4], 1)
"""60 draws at two rows of three bits, skewed, their coordinates of different size."""
TRUTH = np.array([[1.8, -1.2, 0.9], [3.6, -2.3, 1.7]])


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.8])
def test_a_point_holds_what_its_words_mean(shift: float) -> None:
    """Everything is of the mean over two rows, so that the coordinates are halves of theirs."""
    truth = TRUTH + shift
    point = measured(TABLE, exactly(truth), samples=2, evaluations=5)
    g, target = TABLE.reshape(60, 6) / 2, truth.reshape(6) / 2
    d = ((g - g.mean(0)) ** 2).sum(1)
    variance = g.var(0, ddof=1).sum()
    _, low, high = variance_interval(d)
    norm = np.linalg.norm(target)
    (squared, *ends), visible = squared_bias_interval(g - target)
    products = [g[i] @ target / np.linalg.norm(g[i]) / norm for i in range(60)]
    half = 1.959964 * np.std(products, ddof=1) / math.sqrt(60)
    errors = ((g - target) ** 2).sum(1)
    logs = np.log([np.delete(errors, i).mean() for i in range(60)])
    factor = math.exp(1.959964 * math.sqrt(59 / 60 * ((logs - logs.mean()) ** 2).sum()))
    z = np.abs(johnsons_z(g, target))
    assert ends[1] > visible and (ends[0] > 0.1) == (shift == 0.8)
    assert flat(point) == pytest.approx(
        {
            "draws": 60,
            "rows": 2,
            "f_evals": 5,
            "q.variance.estimate": variance,
            "q.variance.low": low,
            "q.variance.high": high,
            "q.variance.log_se": variance_log_se(d),
            "q.kurtosis": 60 * (d**2).sum() / d.sum() ** 2,
            "q.heavy_tailed": False,
            "q.halves": pytest.approx([60 / 59 * d[:30].mean(), 60 / 59 * d[30:].mean()]),
            "q.halves_log_se": pytest.approx([variance_log_se(d[:30]), variance_log_se(d[30:])]),
            "q.coordinates": 6,
            "q.rare_events": pytest.approx(math.nan, nan_ok=True),
            "q.gradient_norm": norm,
            "q.snr": norm / math.sqrt(variance),
            "q.snr_low": norm / math.sqrt(high),
            "q.snr_high": norm / math.sqrt(low),
            "q.cosine": np.mean(products),
            "q.cosine_low": np.mean(products) - half,
            "q.cosine_high": np.mean(products) + half,
            "q.mse": max(squared, 0) + variance,
            "q.mse_low": (max(squared, 0) + variance) / factor,
            "q.mse_high": (max(squared, 0) + variance) * factor,
            "bias.squared.estimate": squared,
            "bias.squared.low": ends[0],
            "bias.squared.high": ends[1],
            "bias.relative": math.sqrt(max(squared, 0)) / norm,
            "bias.relative_low": math.sqrt(max(ends[0], 0)) / norm,
            "bias.relative_high": math.sqrt(ends[1]) / norm,
            "bias.smallest_visible": math.sqrt(visible) / norm,
            "bias.reference": "known",
            "bias.max_z": z.max(),
            "bias.p_value": min(1, 6 * two_sided(z.max(), 59)),
            "bias.coordinates": 6,
            "bias.untestable": 0,
            "bias.seldom_moved": 0,
            "encoder": None,
        }
    )


def test_a_long_runs_noise_is_no_bias_of_the_estimators() -> None:
    """Its share of the squared distance is taken off, and a coordinate is off by the errors of both."""
    rng = np.random.default_rng(2)
    noise, parts = np.array([[0.02, 0.5, 0.01], [0.3, 0.04, 0.09]]), rng.normal(size=(9, 2, 3)) / 4
    reference = exactly(TRUTH)._replace(noise=torch.tensor(noise), parts=torch.tensor(parts), method="a long run")
    point = measured(TABLE, reference, samples=2)
    g, target = TABLE.reshape(60, 6) / 2, TRUTH.reshape(6) / 2
    expected = squared_bias_interval(g - target, parts.reshape(9, 6) / 2, floor=noise.sum() / 4)
    assert list(point["bias"]["squared"].values()) == pytest.approx(list(expected.interval))
    z = np.abs(johnsons_z(g, target, noise.reshape(6) / 4))
    assert point["bias"]["max_z"] == pytest.approx(z.max())
    assert point["bias"]["reference"] == "a long run"


def test_no_bias_is_never_known_better_than_it_could_be_seen() -> None:
    """Draws of mean exactly the truth: the estimate is - tr C / n, its root 0, and an error is variance alone."""
    table = np.array([[[3.0, 1.0]], [[-1.0, 5.0]], [[2.0, 0.0]], [[0.0, 2.0]]])
    point = measured(table, exactly([[1.0, 2.0]]))
    squares = 4 + 4 + 1 + 1 + 1 + 9 + 4 + 0  # about (1, 2)
    squared = point["bias"]["squared"]
    assert squared["estimate"] == pytest.approx(-squares / 12)
    assert point["q"]["variance"]["estimate"] == point["q"]["mse"] == pytest.approx(squares / 3)
    assert point["bias"]["relative"] == point["bias"]["relative_low"] == 0.0
    _, visible = squared_bias_interval(table[:, 0] - [1.0, 2.0])
    assert 0 < squared["high"] < visible
    assert point["bias"]["relative_high"] == point["bias"]["smallest_visible"]
    assert point["bias"]["smallest_visible"] == pytest.approx(math.sqrt(visible / 5))


def test_what_has_no_direction_has_no_share_in_the_cosine_and_no_truth_no_ratio() -> None:
    """Cosines of draws (3, 4), (0, 0) and (-4, 3) to (.1, 0): .6, none and -.8; squares about their mean are 56 / 3."""
    table = [[[3.0, 4.0]], [[0.0, 0.0]], [[-4.0, 3.0]]]
    small = measured(table, exactly([[0.1, 0.0]]))
    assert small["q"]["cosine"] == pytest.approx(-0.1)
    variance = (25 + 25 - 1 / 3 - 49 / 3) / 2
    assert small["q"]["snr"] == pytest.approx(0.1 / math.sqrt(variance))
    squared = small["bias"]["squared"]["estimate"]
    # Products of (2.9, 4), (-.1, 0) and (-4.1, 3): -.29, .11 and .41
    assert squared == pytest.approx((-0.29 + 0.11 + 0.41) / 3)
    assert small["bias"]["relative"] == pytest.approx(math.sqrt(squared) / 0.1)
    none = measured(table, exactly([[0.0, 0.0]]))
    ratios = [none["bias"][key] for key in ("relative", "relative_low", "relative_high", "smallest_visible")]
    assert all(map(math.isnan, [none["q"]["cosine"], *ratios]))
    assert none["q"]["snr"] == none["q"]["gradient_norm"] == 0.0


def test_a_probability_is_at_most_one() -> None:
    """Two coordinates that are exactly right: twice 1, by Bonferroni."""
    bias = measured(alternating(60) * [1.0, 2.0], exactly([[0.0, 0.0]]), samples=2)["bias"]
    assert (bias["max_z"], bias["p_value"], bias["coordinates"]) == (0.0, 1.0, 2)


@pytest.mark.parametrize("freedom", [9, 99, 199, 999, math.inf])
def test_a_chance_far_out_is_that_of_students_t(freedom: float) -> None:
    """Beyond six standard errors a Gaussian law of a hundred draws is too small by a factor of six."""
    for t in (0.5, 2.0, 4.5, 6.5):
        assert two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=0.06 if freedom < 99 else 0.003)
    assert 2 * stats.norm.sf(6.5) < two_sided(6.5, 99) / 6


def test_tails_are_heavy_below_twenty_draws_over_their_kurtosis() -> None:
    """40 draws, 20 or 19 of which carry the variance alike: n over kurtosis is their number."""
    assert noise_of(torch.tensor(20 * [5.0] + 20 * [0.0], dtype=DOUBLE))["heavy_tailed"] is False
    assert noise_of(torch.tensor(19 * [5.0] + 21 * [0.0], dtype=DOUBLE))["heavy_tailed"] is True
    found = noise_of(torch.tensor([5.0] + 10 * [0.0], dtype=DOUBLE))
    assert (found["kurtosis"], found["heavy_tailed"]) == (11.0, True)
    assert found["variance"] == {"estimate": 0.5, "low": 0.0, "high": math.inf, "log_se": math.inf}


# Which coordinates are tested: each guard at both sides of its threshold.


def alternating(n: int) -> Array:
    """n draws of one coordinate, -1 and 1 in turn, and so of mean 0 where n is even."""
    return np.where(np.arange(n) % 2, 1.0, -1.0)[:, None, None]


def guarded(table: Any, q: Distribution | None = None, **options: Any) -> tuple[int, int, int]:
    """How many coordinates are tested, are not, and are not for want of draws that move them; the truth is .3."""
    table = np.asarray(table)
    bias = measured(table, exactly(np.full(table.shape[1:], 0.3)), q, **options)["bias"]
    assert math.isnan(bias["p_value"]) == math.isnan(bias["max_z"]) == (bias["coordinates"] == 0)
    return bias["coordinates"], bias["untestable"], bias["seldom_moved"]


@pytest.mark.parametrize(
    ("draws", "samples", "logit", "common"),
    [
        (100, 1, 0.0, True),
        (98, 1, 0.0, False),
        (52, 1, 0.0, False),
        (52, 2, 0.0, True),
        (104, 2, math.log(3), True),  # odds 3 : 1, so that 52 of 208 outcomes are the rarer one
        (104, 2, -math.log(3), True),
        (98, 2, math.log(3), False),
        (98, 2, -math.log(3), False),
    ],
)
def test_a_rarer_outcome_is_met_fifty_times_or_its_mean_is_not_tested(
    draws: int, samples: int, logit: float, common: bool
) -> None:
    """Halves of the draws move, so that there are 49 to 52 that do."""
    table = np.concatenate([alternating(draws), 2 * alternating(draws)], -1)
    table[:, :, 1] += np.arange(draws)[:, None] / 1000  # each draw another number
    table[:, :, 0] += np.arange(draws)[:, None] / 1000
    found = guarded(table, bits(1, 2, logit), samples=samples)
    assert found == ((2, 0, 0) if common else (0, 2, 0))


@pytest.mark.parametrize(("draws", "common"), [(200, True), (198, False)])
def test_of_four_even_classes_each_is_met_in_a_quarter_of_the_draws(draws: int, common: bool) -> None:
    q = from_parameters("categorical", torch.zeros(1, 1, 4, dtype=DOUBLE))
    table = alternating(draws) * np.array([1.0, -1.0, 2.0, -2.0]) + 0.3
    assert guarded(table, q) == ((4, 0, 0) if common else (0, 4, 0))


def test_a_gaussian_has_no_rarer_outcome() -> None:
    q = from_parameters("gaussian", *torch.tensor([[[0.5]], [[2.0]]], dtype=DOUBLE))
    moving = np.arange(50)[:, None, None] / 100
    assert guarded(np.concatenate([alternating(50), 3 * alternating(50)], -1) + moving, q) == (2, 0, 0)


@pytest.mark.parametrize(("moving", "enough"), [(50, True), (49, False)])
def test_fifty_draws_move_a_coordinate_or_its_mean_is_not_tested(moving: int, enough: bool) -> None:
    """Beside one that all draws move, and one that none of them does."""
    table = np.full((200, 1, 3), 0.7)
    table[-moving:, 0, 1] = np.arange(moving) + 2.0
    table[:, :, 0] = alternating(200)[:, 0]
    assert guarded(table) == ((2, 1, 1) if enough else (1, 2, 2))


@pytest.mark.parametrize(("largest", "within"), [(7.0, True), (7.01, False)])
def test_no_draw_has_more_than_a_quarter_of_all_squares_or_its_mean_is_not_tested(largest: float, within: bool) -> None:
    """98 squares of 1 and two of 49, which are a quarter each of 196."""
    table = np.concatenate([alternating(98), largest * alternating(2)])
    assert guarded(table) == ((1, 0, 0) if within else (0, 1, 1))


def test_what_is_right_to_rounding_needs_no_luck() -> None:
    """Rounding of 1/16, from a value of 2^44: a mean that is four of it off is tested, though nothing moves it."""
    table = np.tile([[[0.5, 0.75, 2.0]]], (40, 1, 1)) + alternating(40) * [0.0, 0.0, 8.0]
    truth = exactly([[0.25, 0.4375, 1.75]])
    bias = measured(table, truth, value=2.0**44)["bias"]
    assert (bias["coordinates"], bias["untestable"], bias["seldom_moved"]) == (2, 1, 0)
    # Off by 4 roundings, without a variance; the other by .25 of what 40 draws of +-8 and the rounding leave open.
    assert bias["max_z"] == pytest.approx(4.0)
    assert bias["p_value"] == pytest.approx(2 * two_sided(4.0, 39))


@pytest.mark.parametrize(("size", "quiet"), [(1.0, True), (1.001, False)])
def test_a_gradient_that_moves_by_rounding_alone_has_no_variance(size: float, quiet: bool) -> None:
    """Nine coordinates that move by the rounding of 1/16; two of them are off by 1, and no more than 30 draws move."""
    table = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]) + size * alternating(60) / 16
    truth = np.array([[1.0, 2.0, 2.0], [4.0, 5.0, 6.0]])
    vae, x = encoded()
    with recorded(vae.encoder) as layers:
        q = vae.encode(x)
    # An encoder asks for three rows, so that what lies between them has an interval.
    table = np.concatenate([table, table[:, :1] - 7.0], 1)
    truth = np.concatenate([truth, truth[:1] - 7.0], 0)
    point = measured(table[:, None], exactly(truth[None]), q, samples=20, value=2.0**44, encoder=Encoder(q, layers))
    variance = 0.0 if quiet else 9 * size**2 / 256 / 9 * 60 / 59
    assert point["q"]["variance"]["estimate"] == pytest.approx(variance)
    assert (point["encoder"]["variance"]["estimate"] == 0.0) == quiet
    assert point["bias"]["coordinates"] == (9 if quiet else 7)
    if quiet:
        assert point["bias"]["max_z"] == pytest.approx(16.0)
        assert math.isnan(point["q"]["snr"])
        assert point["q"]["kurtosis"] == 1.0


# The encoder's weights, and the reference


def encoded(family: str = "bernoulli") -> tuple[VAE, Tensor]:
    """A linear encoder of three rows of four pixels."""
    config = VAEConfig(kind="vae", dataset="digits", family=family, latents=3, centre_input=False)
    vae = VAE(config, torch.full((4,), 0.3), [5]).double()
    return vae, torch.tensor([[[1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]]], dtype=DOUBLE)


def weights(x: Array, signal: Array) -> Array:
    """[B, W], each row's gradient of an affine map's weight and bias from that of its output [B, out]."""
    return np.stack([np.append(np.outer(a, s).ravel(), s) for a, s in zip(x, signal, strict=True)])


@pytest.mark.parametrize("family", ["bernoulli", "gaussian"])
def test_noise_of_an_encoders_weights_is_the_estimators_and_the_minibatchs(family: str) -> None:
    """The law of total variance: over draws at the rows, and over rows of the exact gradient, by their number."""
    vae, x = encoded(family)
    with recorded(vae.encoder) as layers:
        q = vae.encode(x)
    size = 6 if family == "gaussian" else 3
    rng = np.random.default_rng(8)
    table, truth = rng.normal(size=(50, 1, 3, size)) * np.arange(1.0, size + 1), rng.normal(size=(1, 3, size)) + 1
    point = measured(table, exactly(truth), q, encoder=Encoder(q, layers))

    def signal(g: Array) -> Array:
        """At the encoder's output: the scale is exp of half of it."""
        if family == "bernoulli":
            return g
        scale = parameters(q)[1][0].detach().numpy()
        return np.concatenate([g[:, :3], g[:, 3:] * scale / 2], -1)

    pixels = x[0].numpy()
    draws = np.stack([weights(pixels, signal(g[0])).mean(0) for g in table])
    d = ((draws - draws.mean(0)) ** 2).sum(1)
    rows = weights(pixels, signal(truth[0]))
    between = ((rows - rows.mean(0)) ** 2).sum(1)
    # Three rows: the jackknife's interval on the logarithm, as wide as Student's of two degrees of freedom.
    factor = math.exp(scipy.stats.t.isf(0.025, 2) * variance_log_se(between))
    estimate = rows.var(0, ddof=1).sum() / 3
    minibatch = [estimate, estimate / factor, estimate * factor]
    expected = dict(zip(("estimate", "low", "high"), variance_interval(d), strict=True)) | {
        "log_se": variance_log_se(d)
    }
    assert flat(point["encoder"]) == pytest.approx(
        {f"variance.{key}": value for key, value in expected.items()}
        | {"kurtosis": 50 * (d**2).sum() / d.sum() ** 2, "heavy_tailed": 50 * (d**2).sum() / d.sum() ** 2 > 50 / 20}
        | {"halves": pytest.approx([50 / 49 * d[:25].mean(), 50 / 49 * d[25:].mean()])}
        | {"halves_log_se": pytest.approx([variance_log_se(d[:25]), variance_log_se(d[25:])])}
        | dict(zip(("minibatch_variance." + key for key in ("estimate", "low", "high")), minibatch, strict=True))
    )
    assert point["rows"] == 3


def test_a_reference_is_the_sum_of_its_parts_gradients() -> None:
    """Of 3 loc + loc scale and 2 loc scale + 5 scale, which share a product, at locs 1 and 2 and scales 4 and 5."""
    loc, scale = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[4.0], [5.0]]])
    q = from_parameters("gaussian", loc, scale)

    def parts(q: Distribution) -> list[Tensor]:
        loc, scale = parameters(q)
        product = loc * scale
        return [(3 * loc + product)[..., 0], (2 * product + 5 * scale)[..., 0]]

    found = exact_reference(parts, q, "by hand")
    assert found.gradient.tolist() == [[[3 + 12.0, 5 + 3.0], [3 + 15.0, 5 + 6.0]]]
    assert found.gradient.dtype == found.noise.dtype == DOUBLE
    assert found.noise.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
    assert (found.method, found.parts) == ("by hand", None)
    assert loc.grad is None and not loc.requires_grad
    one = exact_reference(lambda q: [(parameters(q)[0] * torch.arange(6.0).reshape(2, 3)).sum((-2, -1))],
                          from_parameters("categorical", torch.zeros(1, 2, 3)), "by hand")  # fmt: skip
    assert one.gradient[0].tolist() == pytest.approx(
        [-1.0, 0.0, 1.0, -1.0, 0.0, 1.0], abs=1e-6
    )  # less each latent's mean


@pytest.mark.parametrize(("draws", "length", "cuts"), [(133, 2, (3, 50, 131)), (63, 1, (20,)), (200, 3, (1, 2, 150))])
def test_a_long_run_is_its_mean_with_parts_that_no_block_cuts(draws: int, length: int, cuts: tuple[int, ...]) -> None:
    """64 equal parts or somewhat more; what they leave over is in the mean and the noise alone."""
    g = torch.tensor(np.random.default_rng(1).normal(size=(draws, 2, 3)) * [1.0, 2.0, 4.0] + 5, dtype=torch.float32)
    asked = []

    def draw(count: int, seed: int) -> list[Tensor]:
        asked.append((count, seed))
        return [block.clone() for block in g.tensor_split(cuts)]

    found = long_run_reference(draw, draws=draws, seed=9, label="rloo[samples=7]")
    assert asked == [(draws, derive("long run", 9))]
    assert found.method == f"long run: rloo[samples=7], {draws} draws"
    values = g.double()
    torch.testing.assert_close(found.gradient, values.mean(0))
    torch.testing.assert_close(found.noise, values.var(0) / draws)
    count = draws // length
    parts = torch.stack([values[i * length : (i + 1) * length].mean(0) for i in range(count)])
    torch.testing.assert_close(found.parts, parts - parts.mean(0))
