"""Every correct estimator from outside is certified, every planted fault refuted, for its reason."""

import itertools
import json
import math
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, OneHotCategorical

import estimators
from estimators.checks import CHECKS, Certificate, certify, checks_for, parametrize_with_checks, run_check, subjects
from estimators.checks.grid import Grid
from estimators.checks.noise import Forced, Watch
from estimators.checks.sampling import LOOKS
from estimators.checks.sequence import sampled
from estimators.distributions import from_parameters, sample
from estimators.entry import Entry, entry_of
from estimators.errors import BadInput
from estimators.families import FAMILIES as KNOWN
from estimators.families import family_named
from tests.estimators.cases import FAMILIES
from tests.estimators.drawing import uniform
from tests.estimators.faults import FAULTS, Fault
from tests.estimators.outside import CORRECT, OWN_NOISE

FEW = LOOKS[1]
"""Draws a problem, after more than one look: a sixteenth of what `gradest check` may take."""


OUTSIDE = {entry.name: entry for entry in CORRECT}
EVENTS = {name: family_named(name).certified_events for name in FAMILIES}


@cache
def certificate_of(name: str) -> Certificate:
    """Of more draws where the noise is of its own kind, of which a forced draw might have a wrong weight."""
    return certify(OUTSIDE[name], draws=FEW if name in OWN_NOISE else LOOKS[0])


@pytest.mark.parametrize("entry", CORRECT, ids=[entry.name for entry in CORRECT])
def test_correct_estimators_from_outside_are_not_refuted(entry: Entry) -> None:
    certificate = certificate_of(entry.name)
    assert not certificate.failures
    assert certificate.verdict == ("certified" if entry.unbiased else "measured")


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.entry.name for fault in FAULTS])
def test_a_fault_is_refuted_for_its_reason(fault: Fault) -> None:
    for subject in fault.subjects():
        result = run_check(fault.check, subject)
        assert result.status == "failed", f"{subject.family}: {result.message}"
        assert (result.check, result.family) == (fault.check, subject.family)
        assert fault.says in result.message
        assert "\n" not in result.message


def test_there_are_enough_faults_and_every_check_finds_one() -> None:
    assert len(FAULTS) >= 20
    found = {fault.check for fault in FAULTS}
    assert found == set(CHECKS) - {"constant"}  # which fails beside unbiased, below


def test_a_score_with_a_mean_fails_on_the_constant_objective() -> None:
    clipped = next(fault.entry for fault in FAULTS if fault.entry.name == "ClippedProbabilities")
    subject = subjects(clipped, draws=LOOKS[2])[0]
    result = run_check("constant", subject)
    assert any(bool(tally.proved.rows.any()) for tally in sampled(subject).tallies)
    assert result.status == "failed"
    assert "instead of zero" in result.message
    assert "clipped probabilities" in result.message


def test_a_declared_bias_is_measured_and_where_it_vanishes_is_said() -> None:
    result = run_check("unbiased", subjects("reinmax")[0])
    assert result.status == "measured"
    by_objective = result.numbers["by_objective"]
    largest: dict[tuple[str, float], float] = {}
    for case in result.numbers["cases"]:
        at = case["objective"], case["level"]
        largest[at] = max(largest.get(at, 0.0), case["bias"])
    said = {(name, case["level"]): case["bias"] for name, found in by_objective.items() for case in found["by_level"]}
    assert said == largest
    assert [name for name, found in by_objective.items() if found["vanishes"]] == ["quadratic", "coupled"]
    assert by_objective["quadratic"]["narrow"] >= 0.8 * by_objective["quadratic"]["problems"]
    assert not by_objective["cubic"]["vanishes"]
    assert "none to be seen on quadratic, coupled" in result.message


def test_the_negative_control_is_exposed() -> None:
    """Its bias is known: minus the gradient of E_q[log q], eta theta (1 - theta) a unit."""
    found = run_check(
        "unbiased", subjects("score-no-entropy", {"baseline": "leave-one-out", "samples": 2}, draws=FEW)[0]
    )
    assert found.status == "measured"
    cases = [case for case in found.numbers["cases"] if case["event"] == (3,) and case["level"] == 1.0]
    assert len(cases) == 5
    for case in cases:
        grid = Grid("bernoulli", (3,), 2)
        row = next(i for i, r in enumerate(grid.rows) if (r.objective, r.level) == (case["objective"], 1.0))
        logits = grid.values[0][row]
        missing = (logits * logits.sigmoid() * (-logits).sigmoid()).norm() / grid.exact[row, :3].norm()
        assert case["low"] - 0.02 < float(missing) < case["high"] + 0.02
        assert case["significant"]


def test_the_negative_control_declared_unbiased_is_refuted() -> None:
    cls = estimators.get("score-no-entropy").cls
    entry = entry_of(cls, "liar", families=("bernoulli",), unbiased=True, own_parameters=True)
    result = run_check("unbiased", subjects(entry, draws=LOOKS[0])[0])
    assert result.status == "failed"
    assert "A constant objective has a gradient too" in result.message


def test_noise_that_cannot_be_forced_is_said_and_not_passed_in_silence() -> None:
    result = next(result for result in certificate_of("ByIntegers").results if result.check == "unbiased")
    assert result.status == "passed"
    assert result.numbers["undecided"]["noise"] == ["torch.randint"]
    assert 15.0 in result.numbers["undecided"]["levels"]
    assert 15.0 not in result.numbers["detectable"]["by_level"]
    assert "cannot tell by sampling at |logit|" in result.warnings[0]


def test_certificates_repeat_and_do_not_depend_on_workers() -> None:
    copula = {"copula": "gaussian"}  # which is not proved, so that its messages depend on the seed
    first, again = (certify("arms", copula, seed=3, draws=LOOKS[0], workers=workers) for workers in (1, 2))
    assert [r.message for r in first.results] == [r.message for r in again.results]
    other = certify("arms", copula, seed=4, draws=LOOKS[0])
    assert [r.message for r in first.results] != [r.message for r in other.results]


def test_a_certificate_is_plain_json_and_quick() -> None:
    for name, verdict, mean in (("exact", "certified", "unbiased"), ("straight-through", "measured", "bias")):
        certificate = certify(name, draws=LOOKS[0])
        plain = json.loads(json.dumps(certificate.plain(), allow_nan=False))
        assert plain["verdict"] == verdict
        assert {result["check"] for result in plain["results"]} == {*CHECKS} - {"unbiased"} | {mean}
        assert plain["seconds"] < 60  # a guard against a certificate that runs away, not a measurement


def test_families_share_the_chance_of_a_false_refutation() -> None:
    for name, count in (("disarm", 1), ("reinforce", len(KNOWN))):
        assert [subject.alpha for subject in subjects(name, alpha=0.03)] == pytest.approx([0.03 / count] * count)
        assert sum(subject.alpha for subject in subjects(name)) == pytest.approx(1e-3)  # as is published of all


def test_chance_rarely_refutes_a_correct_estimator() -> None:
    """A small repetition; `tox -e certify-null` makes the published one. By Bernstein's inequality none is expected.

    The first looks at every registered estimator are of another seed.
    """
    refuted = 0
    for seed in range(1, 6):
        for subject in subjects("disarm", seed=seed, draws=LOOKS[0]):
            refuted += any(run_check(name, subject).status == "failed" for name in ("unbiased", "constant", "theta"))
    assert refuted == 0


# Forced noise


@pytest.mark.parametrize("shift", [6.0, 15.0])
def test_forced_noise_keeps_means_and_makes_rare_outcomes_common(shift: float) -> None:
    draws, logits = 20011, torch.full((3, 2), shift, dtype=torch.float64)
    q = Bernoulli(logits=logits.expand(draws, 3, 2))
    generator = torch.Generator().manual_seed(0)
    with Forced(draws, torch.full((3, 2), shift, dtype=torch.float64), 2, torch.Generator().manual_seed(1)) as watch:
        z = sample(q, 1, generator)[0]
    weight = watch.log_weight.exp()
    rare = (z == 0).double()
    # One number in three is forced, a quarter of those down by the whole shift, which half of these cross: 1 / 24.
    assert float(rare.mean()) > 0.95 / 24
    assert float(weight.max()) <= math.e
    for value, expected in (
        (weight, 1.0),
        (weight[..., None] * rare, torch.sigmoid(torch.tensor(-shift)).item()),
        (weight * rare.prod(-1), torch.sigmoid(torch.tensor(-shift, dtype=torch.float64)).item() ** 2),
    ):
        error = value.std(0) / draws**0.5
        assert bool(((value.mean(0) - expected).abs() < 5 * error + 1e-12).all())


def test_every_kind_of_noise_is_forced_to_the_same_law() -> None:
    """A weighted mean of a function of each source is that of the plain source."""
    draws, shape = 40009, (1, 40009, 2, 3)
    g = torch.Generator().manual_seed(0)

    def rand() -> Tensor:
        return torch.rand(shape, generator=g, dtype=torch.float64)

    sources = {
        "rand": (rand, lambda x: (x < 0.01).double(), 0.01),
        "uniform_": (
            lambda: torch.empty(shape, dtype=torch.float64).uniform_(generator=g),
            lambda x: (x > 0.99).double(),
            0.01,
        ),
        "randn": (
            lambda: torch.randn(shape, generator=g, dtype=torch.float64),
            lambda x: (x > 2.5).double(),
            0.5 * math.erfc(2.5 / math.sqrt(2)),
        ),
        "exponential_": (
            lambda: torch.empty(shape, dtype=torch.float64).exponential_(generator=g),
            lambda x: (x > 5).double(),
            math.exp(-5),
        ),
        "bernoulli": (
            lambda: torch.bernoulli(torch.full(shape, 0.005, dtype=torch.float64), generator=g),
            lambda x: x,
            0.005,
        ),
    }
    for name, (draw, function, expected) in sources.items():
        with Forced(draws, torch.full((2, 3), 5.0, dtype=torch.float64), 3, torch.Generator().manual_seed(1)) as watch:
            noise = draw()
        assert watch.untouched == [], name
        value = watch.log_weight.exp()[..., None] * function(noise)[0]
        error = value.std(0) / draws**0.5
        assert bool(((value.mean(0) - expected).abs() < 5 * error).all()), name
        assert float(function(noise).mean()) > 1.5 * expected, f"{name} was not forced"


def test_noise_whose_rows_or_law_cannot_be_told_stays_plain() -> None:
    g = torch.Generator().manual_seed(0)
    with Forced(53, torch.full((2, 3), 15.0), 3, torch.Generator().manual_seed(1)) as watch:
        torch.rand(53 * 2 * 3, generator=g)
        torch.multinomial(torch.ones(106, 3), 1, generator=g)
        torch.randint(3, (53, 2), generator=g)
        torch.empty(1, 53, 2, 3).normal_(mean=5.0)
        torch.empty(1, 53, 2, 3).uniform_(1.0, 2.0, generator=g)
    names = ["torch.rand", "torch.multinomial", "torch.randint", "Tensor.normal_", "Tensor.uniform_"]
    assert watch.untouched == names
    assert bool((watch.log_weight == 0).all())


def test_the_watch_sees_every_source_and_its_generator() -> None:
    g, q = torch.Generator().manual_seed(0), Bernoulli(logits=torch.zeros(4, 3))
    with Watch() as watch:
        uniform(q, 2, g)
        q.sample()
        torch.randperm(4, generator=g)
    assert [draw.source for draw in watch.draws] == ["torch.rand", "torch.bernoulli", "torch.randperm"]
    assert [draw.generator is g for draw in watch.draws] == [True, False, True]
    assert all(draw.device_given for draw in watch.draws)


# The grid and its oracle


BOUNDS = pytest.mark.parametrize(("bound", "samples"), [("elbo", 1), ("iwae", 2), ("iwae", 3)])


@BOUNDS
@pytest.mark.parametrize("family", ["bernoulli", "categorical"])
def test_the_exact_value_is_the_sum_over_all_draws(family: str, bound: str, samples: int) -> None:
    """The oracle of every grid against chance times value, tuple of draws by tuple of draws."""
    for event in EVENTS[family]:
        grid = Grid(family, event, samples, bound)
        if not grid.has_oracle:
            continue
        (logits,) = grid.values
        if family == "bernoulli":
            z = torch.tensor(list(itertools.product([0.0, 1.0], repeat=event[0])), dtype=torch.float64)
        else:
            eye = torch.eye(event[1], dtype=torch.float64)
            z = torch.stack([torch.stack(chosen) for chosen in itertools.product(eye, repeat=event[0])])
        q = (Bernoulli if family == "bernoulli" else OneHotCategorical)(logits=logits)
        z = z[:, None].expand(-1, len(logits), *event)
        chance, cost = q.log_prob(z).sum(-1).exp(), grid.f(grid.theta)(z, from_parameters(family, logits))
        total = torch.zeros(len(logits), dtype=torch.float64)
        for tuple_ in itertools.product(range(len(z)), repeat=samples):
            drawn = list(tuple_)
            value = math.log(samples) - (-cost[drawn]).logsumexp(0) if bound == "iwae" else cost[drawn].mean(0)
            total += chance[drawn].prod(0) * value
        torch.testing.assert_close(total, grid.exact[:, -1], rtol=1e-9, atol=1e-9)


@BOUNDS
def test_the_exact_value_is_that_of_plain_sampling(bound: str, samples: int) -> None:
    """Of a Normal q, whose oracle is a quadrature, against 60,000 draws of q, with no estimator in between."""
    for event in EVENTS["gaussian"]:
        grid = Grid("gaussian", event, samples, bound)
        if not grid.has_oracle:
            continue
        q, generator = from_parameters("gaussian", *grid.values), torch.Generator().manual_seed(0)
        draws = 60_000 // samples
        cost = grid.f(grid.theta)(sample(q, draws * samples, generator), q).reshape(samples, draws, -1)
        value = math.log(samples) - (-cost).logsumexp(0) if bound == "iwae" else cost.mean(0)
        error = value.std(0) / draws**0.5
        assert float(((value.mean(0) - grid.exact[:, -1]).abs() / (error + 1e-9)).max()) < 5


@pytest.mark.parametrize("family", EVENTS)
@pytest.mark.parametrize(("bound", "samples"), [("elbo", 1), ("iwae", 2)])
def test_the_exact_gradient_is_that_of_finite_differences(family: str, bound: str, samples: int) -> None:
    grid = Grid(family, EVENTS[family][1], samples, bound)
    step, width = 1e-5, grid.exact.shape[1] - 2
    direction = [torch.randn(v.shape, generator=torch.Generator().manual_seed(2), dtype=v.dtype) for v in grid.values]
    ends = [
        grid._expectation([v + sign * step * d for v, d in zip(grid.values, direction, strict=True)], grid.theta)
        for sign in (1, -1)
    ]
    numeric = (ends[0] - ends[1]) / (2 * step)
    flat = torch.cat([d.reshape(len(d), -1) for d in direction], -1)
    torch.testing.assert_close(numeric, (flat * grid.exact[:, :width]).sum(-1), rtol=1e-5, atol=1e-7)


def test_objectives_are_standardised_and_one_row_a_problem() -> None:
    for family, events in EVENTS.items():
        for event in events:
            grid = Grid(family, event, 1)
            assert len(grid.rows) == 6 * len(grid.levels) == len(set(grid.rows))
            at_zero = [i for i, row in enumerate(grid.rows) if row.level == 0 and row.objective in ("cubic", "mlp")]
            if family != "gaussian":
                assert float(grid.exact[at_zero, -1].abs().max()) < 0.3  # the mean of f under an even q is near 0


# What a user's pytest gets


def test_ids_can_be_picked_and_options_are_in_them() -> None:
    ids = [check.id for check in checks_for([("reinforce", {"baseline": "moving-average"}), "disarm"], draws=FEW)]
    assert "reinforce[baseline=moving-average]-gaussian-unbiased" in ids
    assert "disarm-bernoulli-leading-dims" in ids
    assert len(ids) == len(set(ids)) == (len(KNOWN) + 1) * len(CHECKS)


def test_a_check_that_fails_raises_its_sentence() -> None:
    fault = next(fault for fault in FAULTS if fault.check == "theta")
    check = next(c for c in checks_for(fault.entry, draws=LOOKS[0]) if c.name == "theta")
    with pytest.raises(
        AssertionError, match="ThetaDetached-bernoulli-theta: the gradient of f's own parameters is off"
    ):
        check()


def test_expected_failures_are_strict_and_must_name_a_check() -> None:
    mark = parametrize_with_checks("disarm", expected_failures={"dtype": "single precision on purpose"})
    marked = {parameter.id: parameter.marks for parameter in mark.args[1]}
    (xfail,) = marked["disarm-bernoulli-dtype"]
    assert xfail.kwargs["reason"] == "single precision on purpose"
    assert xfail.kwargs["strict"]
    assert not marked["disarm-bernoulli-rows"]
    chosen = parametrize_with_checks("disarm", expected_failures=lambda check: {check.name: "all"})
    assert all(parameter.marks for parameter in chosen.args[1])
    with pytest.raises(BadInput, match="unknown check 'dtpye'; did you mean 'dtype'"):
        parametrize_with_checks("disarm", expected_failures={"dtpye": "typo"})


def test_a_users_own_pytest_runs_the_checks(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        mine="""
        import torch
        from estimators import Estimate, Estimator, register
        from estimators.distributions import log_prob, sample, stopped

        @register("mine-half", families=("bernoulli",), unbiased=True)
        class Half(Estimator):
            def forward(self, q, f, *, generator=None, context=None):
                z = sample(q, self.samples, generator)
                cost = f(z, stopped(q))
                return Estimate((0.5 * cost.detach() * log_prob(q, z) + cost).mean(0), cost.detach().mean(0))
        """,
        test_mine="""
        from estimators.checks import parametrize_with_checks

        @parametrize_with_checks(["mine:Half"], expected_failures={"unbiased": "a known factor"}, draws=4096)
        def test_mine(check):
            check()
        """,
    )
    pytester.syspathinsert()
    found = pytester.runpytest_subprocess("-q", "-k", "unbiased or rows")
    found.assert_outcomes(passed=1, xfailed=1)


def test_no_such_check() -> None:
    with pytest.raises(BadInput, match="unknown check 'unbised'; did you mean 'unbiased'"):
        run_check("unbised", subjects("disarm")[0])


def test_an_estimator_without_a_legal_problem_is_a_failure_in_words() -> None:
    class Many(estimators.Estimator):
        """Needs so many samples that the bound has no oracle."""

        def forward(self, q: Distribution, f, *, generator=None, context=None):  # type: ignore[no-untyped-def]
            raise NotImplementedError

    entry = entry_of(Many, "many", families=("gaussian",), unbiased=True, bound="iwae", samples=(50, 50))
    result = run_check("unbiased", subjects(entry)[0])
    assert result.status == "failed"
    assert "no problem" in result.message


@pytest.mark.gpu
@pytest.mark.parametrize("entry", estimators.available(), ids=[entry.name for entry in estimators.available()])
def test_the_device_is_kept(entry: Entry) -> None:
    for subject in subjects(entry):
        assert "the device is kept" in run_check("dtype", subject).message
