"""`gradest.compare`: its numbers against exact ones, its split of the variance, and what it returns."""

import copy
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal, OneHotCategorical

import gradest
from bench.library.measured import Place, at_several, minibatch_variance
from bench.library.ranking import Ranked, worse
from bench.measure.points import Reference
from bench.measure.weights import Weights
from bench.report.summary import summarise
from bench.run.store import Store
from bench.statistics import variance_interval, variance_log_se
from tests.bench.library import DOUBLE, QUICK, bits, cubic
from tests.bench.scripted import Scripted


def column(frame: pd.DataFrame, estimator: str, name: str) -> float:
    return float(frame.set_index("estimator").loc[estimator, name])


def test_its_numbers_cover_the_exact_ones() -> None:
    """Of the mean over rows, so that a variance is that of the sum over the rows' number squared."""
    q, labels = bits(), ["rloo", "disarm", "straight-through"]
    frame = gradest.compare((q, cubic), labels, draws=4000, timed=False).frame()
    truth = gradest.exact_moments(gradest.create("exact"), q, cubic).mean
    norm = float(truth.norm())
    for label in labels:
        exact = gradest.exact_moments(gradest.create(label), q, cubic)
        bias = float((exact.mean - truth).norm())
        mse = (exact.total + bias**2) / 9
        for name, expected in (
            ("variance", exact.total / 9),
            ("bias_squared", bias**2 / 9),
            ("relative_bias", bias / norm),
            ("mse", mse),
            ("snr", norm / math.sqrt(exact.total)),
        ):
            low, high = column(frame, label, f"{name}_low"), column(frame, label, f"{name}_high")
            slack = 0.2 * (high - low)  # of an interval that misses once in twenty
            assert low - slack <= expected <= high + slack, (label, name)
            assert low <= column(frame, label, name) <= high or name == "bias_squared"
    assert list(frame["mse"]) == sorted(frame["mse"])
    assert column(frame, "straight-through", "relative_bias_low") > 0 and not column(
        frame, "straight-through", "unbiased"
    )
    assert set(frame["reference"]) == {"enumeration"}
    assert list(frame.set_index("estimator").loc[labels, "f_evals"]) == [2, 2, 1]


def test_a_cosine_is_that_of_the_draws() -> None:
    """Two gradients, at +-60 degrees of a reference that a person knows."""
    q = Normal(torch.zeros(1, 1, dtype=DOUBLE), 1.0)
    frame = gradest.compare((q, lambda z, q: z.sum(-1)), ["reinforce"], draws=2000, timed=False).frame()
    # The gradients are (z z, z (z^2 - 1)) and the exact one is (1, 0).
    z = torch.randn(400_000, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    expected = float((z.square() / torch.hypot(z.square(), z * (z.square() - 1))).mean())
    low, high = column(frame, "reinforce", "cosine_low"), column(frame, "reinforce", "cosine_high")
    assert low - 0.01 < expected < high + 0.01 and high - low < 0.06


def test_the_same_seed_gives_the_same_numbers_whoever_else_is_there() -> None:
    before = torch.random.get_rng_state()
    one = gradest.compare((bits(), cubic), ["rloo"], **QUICK).frame()
    two = gradest.compare((bits(), cubic), ["disarm", "rebar", "rloo"], **QUICK).frame()
    three = gradest.compare((bits(), cubic), ["rloo"], seed=1, **QUICK).frame()
    assert column(one, "rloo", "variance") == column(two, "rloo", "variance") != column(three, "rloo", "variance")
    assert torch.equal(torch.random.get_rng_state(), before)


def regression(rows: int, size: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(rows, size, dtype=DOUBLE, generator=generator), torch.randn(
        rows, dtype=DOUBLE, generator=generator
    )


@pytest.mark.parametrize("reference", ["exact", "reparameterization"])
def test_variance_is_split_into_the_estimators_and_the_minibatches(reference: str) -> None:
    """A squared error of global weights, z ~ Normal(0, 1): the gradient of a minibatch is known in closed form."""
    x, y = regression(200)
    drawn = []

    def make() -> gradest.Point:
        chosen = torch.randint(len(x), (5,))
        drawn.append(chosen)
        q = Normal(torch.zeros(1, 2, dtype=DOUBLE), torch.ones(1, 2, dtype=DOUBLE))
        return gradest.Point(q, lambda z, q: ((z @ x[chosen].T - y[chosen]) ** 2).mean(-1))

    frame = gradest.compare(make, ["reparameterization"], reference=reference, minibatches=12, **QUICK).frame()
    gradients = [torch.cat([-2 * (x[c].T @ y[c]) / 5, 2 * x[c].square().mean(0)]) for c in drawn]
    known = np.stack([g.numpy() for g in gradients])
    expected = known.var(0, ddof=1).sum()
    found = column(frame, "reparameterization", "minibatch_variance")
    assert found == pytest.approx(expected, rel=1e-9 if reference == "exact" else 0.15)
    # Of loc: 2 A (loc + e) - 2 b with A = X'X / 5, of scale: the same times e.
    per_batch = []
    for c in drawn:
        a = (x[c].T @ x[c] / 5).numpy()
        b = (x[c].T @ y[c] / 5).numpy()
        e = np.random.default_rng(0).normal(size=(40_000, 2))
        of_loc = 2 * e @ a - 2 * b
        per_batch.append(of_loc.var(0).sum() + (of_loc * e).var(0).sum())
    low, high = (column(frame, "reparameterization", f"variance_{end}") for end in ("low", "high"))
    assert low < np.mean(per_batch) < high
    assert column(frame, "reparameterization", "weights_variance") == column(frame, "reparameterization", "variance")


def test_means_over_minibatches_are_those_of_its_points() -> None:
    """Two draws a minibatch of one row, read from a table: everything by hand."""
    rng = np.random.default_rng(0)
    tables, targets = rng.normal(size=(4, 3, 1, 2)), rng.normal(size=(4, 1, 2))
    places = []
    for target in targets:
        point = gradest.Point(Bernoulli(logits=torch.zeros(1, 2, dtype=DOUBLE)), lambda z, q: z.sum(-1))
        places.append(Place(point, Reference(torch.tensor(target), torch.zeros(1, 2, dtype=DOUBLE), "known"), None))
    variance = minibatch_variance(places)
    table = torch.tensor(tables).flatten(0, 1)
    found = at_several(Scripted(table), places, variance, draws=12, seed=0)
    errors = ((tables - targets[:, None]) ** 2).sum((-2, -1))  # K x n
    within = tables.var(1, ddof=1).sum((-2, -1))
    assert found.q.variance.estimate == pytest.approx(within.mean())
    assert found.q.mse == pytest.approx(
        np.mean([max(e.mean() - v, 0) + v for e, v in zip(errors, within, strict=True)])
    )
    squared = errors.mean(1) - within
    assert found.bias.squared.estimate == pytest.approx(squared.mean())
    half = 3.182446 * squared.std(ddof=1) / 2
    assert found.bias.squared.high == pytest.approx(squared.mean() + half)
    norm = math.sqrt((targets**2).sum((1, 2)).mean())
    assert found.q.gradient_norm == pytest.approx(norm)
    assert found.bias.smallest_visible == pytest.approx(math.sqrt(half) / norm)
    logs = np.log([np.delete(within, k).mean() for k in range(4)])
    log_se = math.sqrt(3 / 4 * ((logs - logs.mean()) ** 2).sum())
    assert found.q.variance.high == pytest.approx(within.mean() * math.exp(3.182446 * log_se))
    assert found.draws == 12 and found.encoder is not None
    between = targets.reshape(4, 2)
    d = ((between - between.mean(0)) ** 2).sum(1)
    ends, factor = found.encoder.minibatch_variance, math.exp(3.182446 * variance_log_se(d))
    assert ends is not None and ends.estimate == pytest.approx(between.var(0, ddof=1).sum())
    assert (ends.low, ends.high) == pytest.approx((ends.estimate / factor, ends.estimate * factor))


def test_weights_behind_q_are_measured_where_they_are_given() -> None:
    """Of a convolution: the variance of its gradient by autograd, draw by draw."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)).double()
    x = torch.rand(4, 1, 4, 4, dtype=DOUBLE)
    point = gradest.Point(Bernoulli(logits=network(x)), cubic, through=network)
    frame = gradest.compare(point, ["rloo"], draws=3000, timed=False).frame()
    estimator, generator = gradest.create("rloo"), torch.Generator().manual_seed(5)
    drawn = []
    for _ in range(800):
        loss = estimator(Bernoulli(logits=network(x)), cubic, generator=generator).loss()
        drawn.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, [*network.parameters()])]).numpy())
    mean = np.mean(drawn, 0)
    _, low, high = variance_interval(((np.stack(drawn) - mean) ** 2).sum(1))
    assert low < column(frame, "rloo", "weights_variance") < high
    exact = point.weights
    of_rows = Weights(point.at, exact).between_rows(
        gradest.exact_moments(gradest.create("exact"), point.at, cubic).mean
    )
    expected = variance_interval(of_rows.numpy()).estimate / 4
    assert column(frame, "rloo", "minibatch_variance") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("q", "f", "unbiased"),
    [
        (Bernoulli(logits=torch.ones(5)), cubic, "rloo"),
        (Normal(torch.tensor(0.0), torch.tensor(1.0)), lambda z, q: (z - 1) ** 2, "reparameterization"),
        (
            Independent(Bernoulli(logits=torch.ones(2, 2, 3)), 2),
            lambda z, q: (z.sum((-1, -2)) - 1) ** 2 + q.log_prob(z),
            "disarm",
        ),
        (OneHotCategorical(logits=torch.ones(4, 3)), lambda z, q: z[..., 0], "rloo"),
        (Bernoulli(logits=torch.ones(3, 2).bfloat16()), lambda z, q: z.sum(-1), "rloo"),
        (Bernoulli(logits=torch.full((2, 40), 3.0)), cubic, "rloo"),
    ],
    ids=["one row", "a number", "independent", "rows of one latent", "half", "too many states"],
)
def test_q_comes_in_every_form_that_a_call_takes(q: Distribution, f: Callable[..., Tensor], unbiased: str) -> None:
    frame = gradest.compare((q, f), [unbiased, "reinforce"], seed=1, **QUICK).frame()
    assert len(frame) == 2 and (frame["variance"] > 0).all()
    assert column(frame, unbiased, "bias_squared_low") <= 0


def test_a_closed_form_belongs_to_the_loss_and_has_no_noise() -> None:
    """q's own form reaches it; the gradient's norm changes, the variance does not."""
    seen = []

    def entropy(q: Distribution) -> Tensor:
        seen.append(type(q))
        return 5 * q.entropy()

    q = Independent(bits(), 1)
    plain, more = (
        gradest.compare(gradest.Point(q, cubic, closed_form=closed), ["rloo"], **QUICK) for closed in (None, entropy)
    )
    assert set(seen) == {Independent}
    of_plain, of_more = plain.frame(), more.frame()
    assert column(of_plain, "rloo", "variance") == pytest.approx(column(of_more, "rloo", "variance"))
    norms = [comparison.records[0].measurements["points"][0]["q"]["gradient_norm"] for comparison in (plain, more)]
    leaf = q.base_dist.logits.clone().requires_grad_()
    (g,) = torch.autograd.grad(5 * Bernoulli(logits=leaf).entropy().sum(), leaf)
    truth = gradest.exact_moments(gradest.create("exact"), q, cubic).mean
    assert norms == pytest.approx([float(truth.norm()) / 3, float((truth + g).norm()) / 3])


def test_estimators_come_at_equal_evaluations_or_are_skipped_with_a_reason() -> None:
    comparison = gradest.compare((bits(), cubic), f_evals=4, **QUICK)
    frame = comparison.frame()
    assert set(frame["f_evals"]) == {4} and {"rloo", "disarm", "arms", "muprop"} <= set(frame["estimator"])
    assert comparison.skipped["delta-method"] == "is for gaussian latents, not bernoulli"
    assert comparison.skipped["local-expectation"].startswith("cannot spend exactly 4 evaluations of f a row")
    assert len(frame) + len(comparison.skipped) == len(gradest.available())


def test_an_f_without_gradient_leaves_those_that_need_none() -> None:
    table = torch.tensor([3.0, 1.0, 2.0], dtype=DOUBLE)
    comparison = gradest.compare((bits(), lambda z, q: table[z.sum(-1).long()]), **QUICK)
    assert "rloo" in set(comparison.frame()["estimator"])
    assert "needs the gradient of f in z, which f has not" in comparison.skipped["straight-through"]
    assert "between the values of z" in comparison.skipped["rebar"]


def test_an_estimator_of_ones_own_is_measured_as_it_stands_and_left_so() -> None:
    estimator = gradest.create("reinforce[baseline=moving-average]", samples=2)
    estimator(bits(), cubic)
    before = copy.deepcopy(estimator.state_dict())
    comparison = gradest.compare((bits(), cubic), [estimator, "reinforce"], **QUICK)
    frame = comparison.frame()
    assert column(frame, repr(estimator), "variance") < column(frame, "reinforce", "variance")
    assert all(torch.equal(value, before[name]) for name, value in estimator.state_dict().items())


def test_one_that_fails_is_said_and_the_others_go_on(forget: None) -> None:
    @gradest.register("breaking", families=("bernoulli",), unbiased=True)
    class Breaking(gradest.Estimator):
        """Raises where the batch is large."""

        def estimate(self, q: Any, f: Any, noise: Any) -> gradest.Estimate:
            if q.logits.dim() > 2:
                raise RuntimeError("no such batch")
            return gradest.Estimate(
                q.logits.sum(-1) + f(q.logits[None].detach(), q)[0].detach(), q.logits.sum(-1).detach()
            )

    comparison = gradest.compare((bits(), cubic), ["breaking", "rloo"], **QUICK)
    assert comparison.skipped == {"breaking": "RuntimeError: no such batch"}
    assert list(comparison.frame()["estimator"]) == ["rloo"]


def flattening(z: Tensor, q: Distribution) -> Tensor:
    """As ordinary PyTorch is written: draws and rows as one batch, and log q of q's own rows."""
    draws, rows, size = z.shape
    assert q.logits.shape == (rows, size)
    return (z.reshape(draws * rows, size).sum(-1) - 0.3).pow(3).reshape(draws, rows) + q.log_prob(z).sum(-1)


def test_an_f_of_three_dims_alone_is_called_draw_by_draw() -> None:
    """Many draws are made at a call, as leading dims of q's rows; what comes out is the same."""

    def general(z: Tensor, q: Distribution) -> Tensor:
        return cubic(z, q) + q.log_prob(z).sum(-1)

    labels = ["rloo", "rebar", "straight-through", "exact"]
    plain, folded = (gradest.compare((bits(), f), labels, **QUICK).frame() for f in (general, flattening))
    columns = ["estimator", "variance", "mse", "cosine", "snr"]
    pd.testing.assert_frame_equal(plain[columns], folded[columns])
    first, second = (
        gradest.gradient_moments(gradest.create("rloo"), bits(), f, draws=50) for f in (general, flattening)
    )
    torch.testing.assert_close(first.variance, second.variance)


def test_the_best_is_named_with_those_that_the_draws_do_not_tell_from_it() -> None:
    comparison = gradest.compare((bits(), cubic), ["rloo", "disarm", "straight-through", "score-no-entropy"], **QUICK)
    best = comparison.best("variance")
    assert best.label in ("rloo", "disarm") and best.by == "variance" and best.low < best.value < best.high
    assert str(best).startswith(f"At point, {best.label} with samples=2 has the least variance")
    sly = comparison.best("variance", unbiased=False)
    assert sly.label == "straight-through"
    assert re.search(
        r" It is declared biased, here by [\d.]+ % \[[\d.]+ %, [\d.]+ %\] of the gradient; "
        r"of the unbiased ones it is (rloo|disarm) ",
        str(sly),
    )
    frame = comparison.frame().set_index("estimator")
    by_cost = comparison.best("mse x f_evals")
    assert by_cost.value == pytest.approx((frame["mse"] * frame["f_evals"]).min())
    twins = gradest.compare((bits(), cubic), ["reinforce", "reinforce[samples=1]"], **QUICK)
    first, second = twins.frame()["estimator"]
    assert twins.best().label == first and twins.best().ties == (second,)
    assert f"the draws do not tell it from {second}" in str(twins.best())
    with pytest.raises(gradest.BadInput, match=r"unknown criterion 'speed'\. Known: mse"):
        comparison.best("speed")
    with pytest.raises(gradest.BadInput, match=r"nothing was timed: compare\(\.\.\., timed=True\)"):
        comparison.best("mse x seconds")


def test_by_seconds_clocks_count_as_well_as_draws() -> None:
    """Errors of a fiftieth in draws and of a tenth in clocks; plain steps of 2 and 4 ms are of one machine, 3 ms."""
    names = ["reinforce", "reinforce[samples=1]"]
    made = gradest.compare((bits(), cubic), names, draws=3, warm_up=0)
    for record in made.records:
        twin, found = record.config.estimator.label != names[0], dict(record.measurements)
        if record.kind == "time":
            plain, ratio = (4e-3, 1.1) if twin else (2e-3, 1.0)
            found["plain"] = {**found["plain"], "median": plain}
            found["step"] = {**found["step"], "median": plain * ratio}
            found["plain_ratio"] = {**found["plain_ratio"], "median": ratio, "log_se": 0.1}
        else:
            (point,) = found["points"]
            found["points"] = [{**point, "q": {**point["q"], "mse": 1.0, "mse_low": 0.96, "mse_high": 1 / 0.96}}]
        record.measurements = found
    best = made.best("mse x seconds")
    error = math.hypot(math.log(1 / 0.96), 1.959964 * 0.1)
    assert (best.value, best.low, best.high) == pytest.approx([3e-3 * math.exp(x) for x in (0, -error, error)])
    assert best.ties == (names[1],), "a tenth more is told by the draws alone"
    assert made.best("mse").low == 0.96


def test_a_step_is_timed_beside_the_plain_step_with_what_f_holds() -> None:
    """Weights that f holds are differentiated too, so that a step of a large f costs about as many plain ones."""
    decoder = nn.Sequential(nn.Linear(6, 400), nn.Tanh(), nn.Linear(400, 400), nn.Tanh(), nn.Linear(400, 1))
    point = gradest.Point(Bernoulli(logits=torch.zeros(60, 6)), lambda z, q: decoder(z).squeeze(-1))
    frame = gradest.compare(point, ["rloo[samples=8]", "reinforce"], draws=20).frame()
    ratio = column(frame, "rloo[samples=8]", "time_ratio")
    assert 2 < ratio < 30 and column(frame, "rloo[samples=8]", "time_ratio_low") < ratio
    assert column(frame, "rloo[samples=8]", "seconds") > 0 and all(p.grad is None for p in decoder.parameters())


def test_it_is_saved_as_a_run_that_a_report_reads(tmp_path: Path) -> None:
    comparison = gradest.compare(
        gradest.Point(bits(), cubic, name="Three bits"),
        ["rloo", "disarm"],
        draws=50,
        measure="tests.plugin.signs:Signs",
    )
    folder = comparison.save(tmp_path / "run")
    records = Store(folder).records()
    assert len(records) == 6 and {record.kind for record in records} >= {"moments", "time"}
    summary = summarise([record for record in records if record.kind != "tests.plugin.signs:Signs"])
    assert sorted(summary.variance["variance"]) == sorted(comparison.frame()["variance"])
    assert set(summary.variance["problem"]) == {"Three bits"}
    assert (folder / "suite.toml").read_text().splitlines()[1] == 'name = "three-bits"'
    other = gradest.compare(gradest.Point(bits(4), cubic, name="Three bits"), ["rloo"], **QUICK)
    assert {r.cell for r in other.records}.isdisjoint(r.cell for r in comparison.records)


def test_notebooks_show_a_table_and_a_figure() -> None:
    comparison = gradest.compare(gradest.Point(bits(), cubic, name="<b>"), ["rloo", "straight-through"], **QUICK)
    text = comparison._repr_html_()
    assert "straight-through †" in text and "&lt;b&gt;: n = 200 draws" in text and "declared biased" in text
    assert repr(comparison) == "<Comparison of 2 estimators at <b>, 0 skipped>"
    figure = comparison.plot()
    assert figure.axes[0].get_xlabel() == "gradient variance w.r.t. q"
    with pytest.raises(gradest.BadInput, match="no figure of efficiency"):
        comparison.plot("efficiency")


def test_heavy_tails_are_said_where_intervals_stand() -> None:
    """A cost that is rarely large."""
    q = Bernoulli(logits=torch.full((1, 2), -3.0, dtype=DOUBLE))
    comparison = gradest.compare((q, lambda z, q: 100 * z.prod(-1) + z.sum(-1)), ["reinforce"], **QUICK)
    assert bool(comparison.frame()["heavy_tailed"][0])
    assert "<td>heavy tails</td>" in comparison._repr_html_() and "optimistic" in comparison._repr_html_()
    assert str(comparison.best()).endswith("its interval is optimistic: take more draws.")


def test_rows_that_a_minibatch_makes_have_no_minibatch_variance_without_weights() -> None:
    frame = gradest.compare(lambda: (bits(), cubic), ["rloo"], minibatches=3, **QUICK).frame()
    assert "minibatch_variance" not in frame and len(frame) == 1


@pytest.mark.gpu
def test_a_point_on_a_gpu_is_measured_there() -> None:
    network = nn.Linear(3, 2).cuda()
    point = gradest.Point(Bernoulli(logits=network(torch.ones(4, 3).cuda())), cubic, through=network)
    comparison = gradest.compare(point, ["rloo", "rebar"], draws=200, warm_up=5)
    frame = comparison.frame()
    assert not comparison.skipped and (frame["variance"] > 0).all() and (frame["weights_variance"] > 0).all()
    assert {record.config.device for record in comparison.records} == {"cuda"}


def test_terms_that_name_dims_from_the_left_are_taken_draw_by_draw() -> None:
    """A closed form, and what f reads of q: many draws are leading dims of q."""
    q = Normal(torch.tensor([[0.3, -1.0, 0.5]] * 3, dtype=DOUBLE).T.contiguous(), torch.ones(3, 3, dtype=DOUBLE))
    frames = []
    for dim in (-1, 1):
        point = gradest.Point(
            q,
            lambda z, q, dim=dim: (z**2).sum(-1) * q.mean.detach().abs().mean(dim),
            closed_form=lambda q, dim=dim: 3 * (q.mean**2).mean(dim),
        )
        frames.append(gradest.compare(point, ["reparameterization", "rloo"], **QUICK).frame())
    columns = ["estimator", "variance", "mse", "bias_squared", "cosine"]
    pd.testing.assert_frame_equal(frames[0][columns], frames[1][columns])


@pytest.mark.parametrize("rows", [2, 3, 4])
def test_dims_that_are_read_by_their_number_are_those_of_q(rows: int) -> None:
    """Whatever the number of rows, none of which is taken for a number of draws."""
    frames = []
    for f, term in (
        (lambda z, q: z.sum(-1) ** 2 / rows, lambda q: 3 * q.entropy().sum(-1) / rows),
        (lambda z, q: z.sum(-1) ** 2 / z.shape[1], lambda q: 3 * q.entropy().sum(-1) / q.logits.shape[0]),
    ):
        frames.append(gradest.compare(gradest.Point(bits(rows), f, closed_form=term), ["rloo"], **QUICK).frame())
    columns = ["variance", "mse", "bias_squared", "cosine"]
    pd.testing.assert_frame_equal(frames[0][columns], frames[1][columns])


def test_q_of_one_row_that_a_minibatch_makes_is_not_shared() -> None:
    def make() -> tuple[Distribution, Any]:
        return Bernoulli(logits=torch.rand(1, 2, dtype=DOUBLE)), cubic

    assert "minibatch_variance" not in gradest.compare(make, ["rloo"], minibatches=3, **QUICK).frame()


def test_graphs_that_a_person_holds_are_left_whole() -> None:
    trunk = nn.Linear(2, 3).double()
    hidden = trunk(torch.ones(3, 2, dtype=DOUBLE)).exp()
    q = Bernoulli(logits=hidden.detach()[:, :2])
    comparison = gradest.compare((q, lambda z, q: (z.sum(-1) * hidden.sum(-1)) ** 2), ["rloo", "rebar"], draws=50)
    assert not comparison.skipped and "time_ratio" in comparison.frame()
    hidden.sum().backward()
    assert trunk.weight.grad is not None
    own = Bernoulli(logits=torch.ones(3, 2, requires_grad=True))
    found = gradest.examine(own, lambda z, q: z.sum(-1) + own.log_prob(z).sum(-1))
    assert "f uses q by a name of its own" in found.refused[0]


def test_the_least_bias_is_the_one_that_can_be_vouched_for() -> None:
    best = gradest.compare((bits(), cubic), ["rloo", "disarm", "exact", "straight-through"], **QUICK).best("bias")
    assert f"{best.label} with samples={best.samples} has the least squared bias, " in str(best)
    assert best.label == "exact"


@pytest.mark.parametrize(("distance", "law_of_draws", "of_three"), [(7.0, 0, 0), (8.3, 1, 0), (20.0, 1, 1)])
def test_few_minibatches_tell_standard_errors_badly(distance: float, law_of_draws: int, of_three: int) -> None:
    """One of twenty is that many standard errors above the others, of which Student's intervals hold 4.3."""
    error = 0.02
    half = scipy.stats.t.isf(0.025, 2) * error
    found = [Ranked(f"e{i}", 2, 1.0, math.exp(-half), math.exp(half)) for i in range(19)]
    above = math.exp(distance * error * math.sqrt(2))
    found.append(Ranked("above", 2, above, above * math.exp(-half), above * math.exp(half)))
    assert len(worse(found, 1000)) == law_of_draws, "as if they were as well known as those of draws"
    assert len(worse(found, 1000, minibatches=3)) == of_three
