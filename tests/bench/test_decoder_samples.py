"""Decoder and prior trained by further draws of their own, and the encoder alone by the estimate."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

import estimators
from bench.config import EstimatorConfig
from bench.measure.floor import floor_of, plain
from bench.measure.trajectory import Trajectories, travel
from bench.measure.wallclock import TimeConfig, Timing
from bench.problems.base import TrainedProblem
from bench.problems.model import Model
from bench.problems.vae import VAE, VAEConfig
from bench.records.record import read
from bench.report import naming
from bench.report.summary import summarise
from bench.report.tables import elbo, time
from bench.seeds import stream
from bench.suite.load import parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Cell
from bench.training.capture import EagerSteps
from bench.training.program_steps import ProgramSteps
from bench.training.settings import Optimisation
from bench.training.step_program import look_at
from bench.training.trainer import Trainer
from estimators import BadInput, Estimate, Estimator
from estimators.distributions import sample
from estimators.exact import expectation, expectation_of_bound
from tests.bench.by_hand import by_seed, layers, weights_of
from tests.bench.plain import measure_training
from tests.bench.records import find, quick
from tests.bench.test_elbo_measure import PROBLEM, SETTINGS
from tests.bench.test_floor import Operations
from tests.bench.test_step_program import assert_same, state, training, uncompiled

__all__ = ["uncompiled"]
CPU = torch.device("cpu")
PIXELS = 6


def _config(family: str = "bernoulli", **factors: Any) -> VAEConfig:
    size = {"latents": 2, "categories": 3} if family == "categorical" else {"latents": 2}
    given = {"kind": "vae", "dataset": "digits", "family": family, "architecture": (3,), "prior": "learned"}
    return VAEConfig.model_validate(given | size | factors)


def _vae(config: VAEConfig, seeds: int = 1) -> VAE:
    vae = VAE(config, torch.linspace(0.1, 0.9, PIXELS), range(seeds)).double()
    with torch.no_grad():  # away from the start, where all is near uniform
        for index, p in enumerate(vae.parameters()):
            p += 0.5 * torch.arange(p.numel()).reshape(p.shape).add(index).cos()
    return vae


def _x(rows: int, seeds: int = 1) -> Tensor:
    return (torch.rand(seeds, rows, PIXELS, generator=torch.Generator().manual_seed(0)) > 0.5).double()


def _trainer(vae: VAE, name: str, draws: int, **settings: Any) -> Trainer:
    """With the estimator of this name, bound to the model."""
    config, entry = vae.config, EstimatorConfig.model_validate(name)
    estimator = config.estimator(entry.resolved(config.importance_samples)).double()
    sizes: dict[str, Any] = {"stack": (vae.stack,), "context_size": PIXELS, "event": vae.event}
    estimator.bind(**sizes, generator=torch.Generator().manual_seed(0))
    optimisation = Optimisation(decoder_samples=draws, **settings)
    return Trainer(vae, estimator, optimisation, noise_seed=5, importance_samples=config.importance_samples)


def _slopes(trainer: Trainer) -> dict[str, Tensor]:
    """The gradient of each parameter after a backward pass, the model's and the estimator's own."""
    named = [*trainer.model.named_parameters(), *trainer.estimator.named_parameters(prefix="own")]
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def _behind(name: str) -> bool:
    return name.startswith(("decoder", "upper_decoder", "prior"))


LEARNERS = {"bernoulli": "relax", "categorical": "reinforce[baseline=input-dependent]", "gaussian": "lax"}


@pytest.mark.parametrize("entropy", ["sampled", "analytic"])
@pytest.mark.parametrize("family", LEARNERS)
def test_decoder_and_prior_have_the_gradient_at_draws_of_their_own_and_all_else_that_of_the_estimate(
    family: str, entropy: str
) -> None:
    """Written out by hand, at draws from a stream beside that of the estimator; of two seeds."""
    vae, x, name = _vae(_config(family, entropy=entropy), 2), _x(4, 2), LEARNERS[family]
    trainer, usual = _trainer(vae, name, 3), _trainer(copy.deepcopy(vae), name, 0)
    torch.testing.assert_close(trainer.backward(x), usual.backward(x), rtol=0, atol=0)
    found, others, weights = _slopes(trainer), _slopes(usual), weights_of(vae)
    z = sample(vae.encode(x), 3, stream("decoder", 5))
    rows = [(t.analytic_loss if entropy == "analytic" else t.loss).mean(0) for t in by_seed(vae, weights, x, z)]
    behind = [name for name in weights if _behind(name)]
    expected = torch.autograd.grad(torch.stack(rows).mean(-1).sum(), [weights[name] for name in behind])
    for name, wanted in zip(behind, expected, strict=True):
        torch.testing.assert_close(found.pop(name), wanted, rtol=1e-9, atol=1e-12)
        # A closed form has no draws, so that the prior has its gradient, once, however the decoder is trained.
        assert torch.allclose(others.pop(name), wanted) == (entropy == "analytic" and name.startswith("prior")), name
    assert found.keys() == others.keys()
    assert {name.partition(".")[0] for name in found} == {"encoder", "own"}
    assert all(torch.equal(found[name], others[name]) for name in found)


def test_with_two_layers_each_further_draw_has_one_of_the_second_layer() -> None:
    vae, x = _vae(_config(stochastic_layers=2), 2), _x(4, 2)
    trainer = _trainer(vae, "rloo", 3)
    trainer.backward(x)
    found, weights, generator = _slopes(trainer), weights_of(vae), stream("decoder", 5)
    z = sample(vae.encode(x), 3, generator)
    upper = sample(vae.encode_upper(z), 1, generator)[0]
    terms = [layers(vae, weights, seed, x[seed], z[:, seed], upper[:, seed]) for seed in (0, 1)]
    loss = torch.stack([(log_q - joint).mean() for joint, log_q in terms]).sum()
    behind = [name for name in weights if _behind(name)]
    assert {name.partition(".")[0] for name in behind} == {"decoder", "upper_decoder", "prior_parameters"}
    for name, wanted in zip(behind, torch.autograd.grad(loss, [weights[name] for name in behind]), strict=True):
        torch.testing.assert_close(found[name], wanted, rtol=1e-9, atol=1e-12)
    usual = _trainer(copy.deepcopy(vae), "rloo", 0)
    usual.backward(x)
    for name, slope in _slopes(usual).items():
        assert torch.equal(found[name], slope) != _behind(name), name


def test_on_a_bound_of_k_draws_each_further_draw_is_one_of_the_bound() -> None:
    """-log mean_k exp(-f(z_k)) of five further draws each, in the mean over two such bounds."""
    vae, x = _vae(_config(bound="iwae", importance_samples=5)), _x(4)
    trainer = _trainer(vae, "vimco", 2)
    trainer.backward(x)
    found, weights = _slopes(trainer), weights_of(vae)
    z = sample(vae.encode(x), 10, stream("decoder", 5))
    (terms,) = by_seed(vae, weights, x, z)
    loss = -(-terms.loss[:5]).exp().mean(0).log() / 2 - (-terms.loss[5:]).exp().mean(0).log() / 2
    behind = [name for name in weights if _behind(name)]
    for name, wanted in zip(behind, torch.autograd.grad(loss.mean(), [weights[n] for n in behind]), strict=True):
        torch.testing.assert_close(found[name], wanted, rtol=1e-9, atol=1e-12)


UNBIASED: list[tuple[str, str, dict[str, Any]]] = [
    ("rloo", "bernoulli", {}),
    ("disarm", "bernoulli", {"entropy": "analytic"}),
    ("rebar", "bernoulli", {}),
    ("rebar", "categorical", {"entropy": "analytic"}),
    ("exact", "bernoulli", {"kl_weight": 0.5}),
    ("disarm", "bernoulli", {"stochastic_layers": 2}),
    ("vimco", "bernoulli", {"bound": "iwae", "importance_samples": 3}),
]


def _errors(trainer: Trainer, x: Tensor, blocks: int, copies: int) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """By weight, the mean gradient over draws, its standard error, and the exact one; the batch is copies of a row."""
    vae = trainer.model
    assert isinstance(vae, VAE)
    q, f, count = vae.encode(x), vae.objective(x), vae.config.importance_samples
    loss = expectation(q, f) if count is None else expectation_of_bound(q, f, count)
    closed = vae.closed_form(q)
    names, weights = zip(*vae.named_parameters(), strict=True)
    exact = torch.autograd.grad((loss if closed is None else loss + closed).mean(), weights)
    many, draws = x.expand(1, copies, PIXELS), []
    for _ in range(blocks):
        trainer.backward(many)
        draws.append([p.grad.clone() for p in weights])
    found = [torch.stack(each) for each in zip(*draws, strict=True)]
    return {
        name: (each.mean(0), each.std(0) / math.sqrt(blocks), wanted)
        for name, each, wanted in zip(names, found, exact, strict=True)
    }


@pytest.mark.parametrize(("name", "family", "factors"), UNBIASED, ids=[f"{n}-{f}-{[*m]}" for n, f, m in UNBIASED])
def test_every_weight_has_the_exact_gradient_in_the_mean(name: str, family: str, factors: dict[str, Any]) -> None:
    trainer, blocks = _trainer(_vae(_config(family, **factors)), name, 1), 24
    for weight, (mean, error, exact) in _errors(trainer, _x(1), blocks, 500).items():
        # Student's t, 23 degrees, some 60 weights; a mean over hidden units that are off has no error.
        assert ((mean - exact) / error.clamp_min(1e-9)).abs().max() < 7, weight
        assert error.norm() < 0.7 * exact.norm(), f"{weight}: too much noise to see a bias"


def test_a_biased_estimator_leaves_decoder_and_prior_exact() -> None:
    """Straight-through evaluates f at true draws, and is wrong in the encoder alone; Gumbel-softmax at relaxed ones."""
    for name, own in (("straight-through", True), ("gumbel-softmax[temperature=1.0]", False)):
        family = "bernoulli" if own else "categorical"
        vae = _vae(_config(family))
        apart, usual = (_trainer(copy.deepcopy(vae), name, draws) for draws in (1, 0))
        for trainer, draws in ((apart, 1), (usual, 0)):
            found = _errors(trainer, _x(1), 24, 1000)
            off = {w: float(((m - exact) / e.clamp_min(1e-9)).abs().max()) for w, (m, e, exact) in found.items()}
            assert max(z for weight, z in off.items() if not _behind(weight)) > 12
            behind = max(z for weight, z in off.items() if _behind(weight))
            assert behind < 7 if draws or own else behind > 12, (name, draws, off)


COMPILED: list[tuple[str, dict[str, Any]]] = [
    ("relax", {}),
    ("disarm", {"stochastic_layers": 2}),
    ("vimco", {"bound": "iwae", "importance_samples": 3}),
    ("reparameterization", {"family": "gaussian", "entropy": "analytic"}),
    ("straight-through-gumbel-softmax", {"family": "categorical", "categories": 3, "kl_warm_up": 2}),
]


def _in_training(name: str, factors: dict[str, Any], **settings: Any) -> tuple[Trainer, Any]:
    given = {"kind": "vae", "dataset": "digits", "family": "bernoulli", "latents": 3, "prior": "learned"} | factors
    config, entry = VAEConfig.model_validate(given), EstimatorConfig(name=name)
    own = config.estimator(entry.resolved(config.importance_samples))
    trainer, batches = training(own=own, config=config, decoder_samples=2, **settings)
    trainer.importance_samples = config.importance_samples
    return trainer, batches


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(("name", "factors"), COMPILED, ids=[name for name, _ in COMPILED])
def test_the_program_gives_the_eager_numbers(name: str, factors: dict[str, Any]) -> None:
    eager, fused = (_in_training(name, factors, optimiser="sgd") for _ in range(2))
    program = ProgramSteps(*fused, look_at(*fused), capture=False)
    before = fused[0].generators[-1].get_state()
    for _ in range(3):
        eager[0].step(next(eager[1]))
        program.run(1)
        assert_same(state(*fused), state(*eager))
    assert not torch.equal(fused[0].generators[-1].get_state(), before)


def test_a_capture_advances_the_generator_of_the_further_draws_and_where_there_is_none_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A generator that was registered with a graph is no use outside of one, and gives way to one of its state."""
    registered = list[torch.Generator]()

    def refused(body: Any, generators: list[torch.Generator]) -> tuple[None, str]:
        registered.extend(generators)
        return None, "a test"

    monkeypatch.setattr("bench.training.capture.capture", refused)
    (trainer, batches), alone = (_in_training("rloo", {}) for _ in range(2))
    for each in (trainer, alone[0]):
        torch.rand(3, generator=each.generators[-1])
    further = trainer.generators[-1]
    steps = EagerSteps(trainer, batches)
    assert steps._capture() is None
    assert any(generator is further for generator in registered)
    assert trainer.generators[-1] is not further
    steps.run(1)
    alone[0].step(next(alone[1]))
    assert_same(state(trainer, batches), state(*alone))


def test_without_further_draws_there_is_no_stream_for_them() -> None:
    assert len(_trainer(_vae(_config()), "rloo", 0).generators) == 1
    noise, further = _trainer(_vae(_config()), "rloo", 2).generators
    assert (noise.initial_seed(), further.initial_seed()) == (0x6F2E44BC, 0x38DAFDED)  # sha256 of noise:5, decoder:5


class Passenger(Estimator):
    """Its own loss is its distance from the mean of the batch."""

    def __init__(self, samples: int = 1) -> None:
        super().__init__(samples)
        self.own = nn.Parameter(torch.tensor(2.0))

    def forward(self, q: Distribution, f: Any, *, generator: Any = None, context: Any = None) -> Estimate:
        value = f(sample(q, 1, generator), q).mean(0)
        return Estimate(value, value.detach(), (self.own - context.mean(-1)).square())


def test_a_reference_trajectory_is_trained_so_too_and_a_passenger_learns_from_it_alike() -> None:
    problem = _config("bernoulli", prior="fixed")

    def passed(draws: int, passenger: Estimator | None = None) -> list[list[Tensor]]:
        settings = Optimisation(batch=20, optimiser="sgd", learning_rate=0.05, decoder_samples=draws)
        config = Trajectories(
            rows=5, checkpoints=(1, 4), reference=EstimatorConfig(name="rloo", samples=2), reference_draws=1000,
            trajectory_seed=3, optimisation=settings,
        )  # fmt: skip
        return [[p.detach() for p in stop.model.parameters()] for stop in travel(problem, config, CPU, passenger)]

    learners = Passenger(), Passenger()
    (first, last), carrying, (usual, _) = passed(2), passed(2, learners[0]), passed(0, learners[1])
    assert all(map(torch.equal, [*first, *last], [*carrying[0], *carrying[1]]))
    moved = [torch.equal(a, b) for a, b in zip(first, usual, strict=True)]
    assert moved == [name.startswith(("encoder", "prior")) for name, _ in _vae(problem).named_parameters()]
    assert learners[0].own.item() == learners[1].own.item() != 2.0


def test_a_curve_counts_the_further_draws() -> None:
    """Two draws a row of the estimator and three further ones; five bounds' worth on a bound of two draws."""
    for problem, name, a_row in (
        (PROBLEM, "rloo", 2 + 3),
        (PROBLEM.model_copy(update={"stochastic_layers": 2}), "rloo", 2 + 3),
        (PROBLEM.model_copy(update={"bound": "iwae", "importance_samples": 2}), "vimco", 2 + 3 * 2),
    ):
        settings = SETTINGS.model_copy(update={"optimisation": Optimisation(steps=2, batch=10, decoder_samples=3)})
        own = problem.estimator(EstimatorConfig(name=name, samples=2))
        found = measure_training(problem, own, settings, seed=1, device=CPU)
        assert found["curve"]["f_evals"] == [0, 10 * a_row, 20 * a_row]


def _cells(more: str = "", problem: str = "", *names: str) -> list[Cell]:
    listed = ", ".join(f'"{name}"' for name in names or ("rloo[samples=4]",))
    of = f'kind = "vae", dataset = "digits", family = "bernoulli", latents = 3, architecture = [8]{problem}'
    text = f"""name = "a"\nseeds = 2\nproblems = [{{{of}}}]\nestimators = [{listed}]
    [training]\nsteps = 7\nbatch = 11\n{more}\n[elbo]\nevaluations = 2\nevaluation_rows = 13\nevaluation_samples = 5
    iwae_samples = 3\n[moments]\ndraws = 100\nrows = 10\ncheckpoints = [0, 4]\n[time]\nrounds = 5\nwarm_up = 2
    stacked = 3"""
    return plan(parse_suite(text.encode(), "a.toml")).cells


def test_a_plan_counts_the_further_draws() -> None:
    usual, found = ({cell.measurement.kind: cell.cost for cell in _cells(m)} for m in ("", "decoder_samples = 6"))
    more: dict[str, float] = {"train": 7 * 11 * 2 * 6, "time": (3 * 7 + 4) * 11 * 3 * 6, "moments": 0}
    for kind, evaluations in more.items():
        before, after = usual[kind], found[kind]
        assert before is not None
        assert after is not None
        assert after.evaluations == before.evaluations + evaluations
        assert (after.seconds > before.seconds) == (kind != "moments")
        if kind == "moments":
            assert before.shared and after.shared
            assert after.shared.evaluations == before.shared.evaluations + 4 * 11 * 6
            assert after.shared.seconds > before.shared.seconds


def test_the_memory_of_a_step_holds_the_further_draws() -> None:
    """As many numbers as f makes at a draw, of each row of each seed, beside those of the estimate."""
    more = "decoder_samples = 50000"
    usual, found = ({cell.measurement.kind: cell.cost for cell in _cells(m)} for m in ("", more))
    of_f = _config("bernoulli", latents=3, architecture=(8,)).widths(1).of_f
    for kind, rows in (("time", 11 * 3), ("train", 11 * 2), ("moments", 11)):
        before, after = usual[kind], found[kind]
        assert before is not None
        assert after is not None
        added = 50000 * rows * of_f * 4
        assert 0.9 * added < after.memory - before.memory <= added


def test_a_plan_counts_what_a_bound_and_a_second_layer_ask_for() -> None:
    """K draws for each, and for moments the steps that warm an estimator up; one draw of z2 at each."""
    bound = ', bound = "iwae", importance_samples = 3'

    def seconds(more: str, problem: str, name: str, kind: str) -> tuple[float, float]:
        cost = next(cell.cost for cell in _cells(more, problem, name) if cell.measurement.kind == kind)
        assert cost is not None
        return cost.evaluations, cost.seconds

    usual, found = (seconds(more, bound, "vimco", "train") for more in ("", "decoder_samples = 2"))
    assert found[0] - usual[0] == 7 * 11 * 2 * 6
    for name, warmed in (("rloo", False), ("relax", True)):
        usual, found = (seconds(more, "", name, "moments") for more in ("", "decoder_samples = 2"))
        assert (found[0] == usual[0], found[1] > usual[1]) == (True, warmed)
    two = ", stochastic_layers = 2"
    adds = [
        seconds("decoder_samples = 2", two, f"rloo[samples={n}]", "train")[1]
        - seconds("", two, f"rloo[samples={n}]", "train")[1]
        for n in (2, 8)
    ]
    assert adds[0] == pytest.approx(adds[1], rel=1e-6)


def test_a_timed_step_and_its_floor_and_the_plain_step_have_the_further_draws(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = list[tuple[int, ...]]()
    costs = VAE.costs

    def noted(vae: VAE, x: Tensor, q: Distribution, samples: int, generator: torch.Generator) -> Tensor:
        drawn.append((samples, *x.shape[:2]))
        return costs(vae, x, q, samples, generator)

    monkeypatch.setattr(VAE, "costs", noted)
    config = TimeConfig(optimisation=Optimisation(batch=7, decoder_samples=3, compile=False), stacked=2)
    timing = Timing(_config(), estimators.get("disarm").create(), config, seed=0, device=CPU)
    assert timing.f_evals == 2
    assert drawn == []
    for subject in timing.subjects():
        subject()
    assert drawn == [(3, 2, 7)] * 3


def test_the_floor_of_a_step_stays_below_it() -> None:
    """Operations of a forward and a backward pass, views apart."""

    def operations(vae: VAE, estimator: Estimator, x: Tensor) -> int:
        trainer = Trainer(vae, estimator, Optimisation(decoder_samples=1), noise_seed=0)
        trainer.backward(x)
        with Operations() as seen:
            trainer.backward(x)
        return seen.count

    for name in ("disarm", "rebar", "straight-through", "rloo"):
        vae, x, estimator = _vae(_config()), _x(4), estimators.get(name).create().double()
        estimator.bind(stack=(1,), context_size=PIXELS, event=vae.event, generator=torch.Generator())
        floor = floor_of(estimator, vae, x, estimator.samples).double()
        assert operations(vae, plain(estimator).double(), x) <= operations(vae, floor, x)
        assert operations(vae, floor, x) < operations(vae, estimator, x)


TOY = '{kind = "toy", objective = "cubic", family = "bernoulli", latents = 2, logits = [0]}'
SILENT = '{kind = "vae", dataset = "digits", family = "bernoulli", latents = 3}'
TRAINED = '{kind = "vae", dataset = "digits", family = "bernoulli", latents = 2}'


@pytest.mark.parametrize(
    ("problems", "draws", "said"),
    [
        (TOY, "1", "the suite: training.decoder_samples = 1 trains a decoder by draws of its own, and no problem of "
                   "the suite trains one: leave it out"),
        (f"{TRAINED}, {SILENT}", "2", "the suite: training.decoder_samples = 2 trains a decoder by draws of its own, "
                                      "and 'digits/bernoulli-3/linear' does not say which of its weights are a "
                                      "decoder's (learns_decoder, generative_weights): leave one of the two out"),
        (TRAINED, "-1", "training.decoder_samples: Input should be greater than or equal to 0, got -1"),
        (TRAINED, "0.5", "training.decoder_samples: Input should be a valid integer, got a number with a fractional "
                         "part, got 0.5"),
        (TRAINED, "true", "training: decoder_samples = true is no number"),
        (TRAINED, "100001", "training.decoder_samples: Input should be less than or equal to 100000 (a step holds all "
                            "its draws of z at once), got 100001"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_so_is_one_line(
    problems: str, draws: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VAEConfig, "learns_decoder", property(lambda problem: problem.latents == 2))
    text = f'name = "a"\nproblems = [{problems}]\nestimators = ["rloo"]\n[training]\nsteps = 3\n'
    text += f"decoder_samples = {draws}\n[elbo]\n[moments]\ncheckpoints = [0]\n"
    with pytest.raises(BadInput) as caught:
        parse_suite(text.encode(), "a.toml")
    assert str(caught.value) == f"a.toml: {said}"
    parse_suite(text.replace(f"decoder_samples = {draws}", "decoder_samples = 0").encode(), "a.toml")


def test_a_silent_problem_may_be_trained_without_and_not_with_by_an_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VAEConfig, "learns_decoder", property(lambda problem: problem.latents == 2))

    def suite(all_of_them: int, silent: int) -> Any:
        text = f'name = "a"\nproblems = [{TRAINED}, {SILENT}]\nestimators = ["rloo"]\n[elbo]\n[training]\n'
        text += f'decoder_samples = {all_of_them}\n[[overrides]]\nproblems = ["digits/bernoulli-3/linear"]\n'
        return parse_suite(f"{text}training = {{decoder_samples = {silent}}}".encode(), "a.toml")

    draws = [cell.measurement.optimisation.decoder_samples for cell in plan(suite(2, 0)).cells]
    assert sorted(draws) == [0, 2]
    with pytest.raises(BadInput, match=r"training.decoder_samples = 1 .* and 'digits/bernoulli-3/linear' does not say"):
        suite(0, 1)


def test_a_suite_may_have_toys_beside() -> None:
    text = f'name = "a"\nproblems = [{TRAINED}, {TOY}]\nestimators = ["rloo"]\n[moments]\n[training]\n'
    found, bare = (
        {cell.problem.kind: cell for cell in plan(parse_suite((text + more).encode(), "a.toml")).cells}
        for more in ("decoder_samples = 1", "")
    )
    assert found["toy"].id == bare["toy"].id
    assert found["vae"].id != bare["vae"].id
    assert found["vae"].resolved()["measurement"]["optimisation"]["decoder_samples"] == 1


def test_a_model_that_names_no_generative_weights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VAE, "generative_weights", lambda vae: ())
    with pytest.raises(ValueError, match=r"decoder_samples = 1 trains a decoder by .* a VAE does not say which"):
        _trainer(_vae(_config()), "rloo", 1)


def test_a_model_says_its_generative_weights_by_its_networks_and_its_prior() -> None:
    class Small(Model):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down, self.top = nn.Linear(2, 3), nn.Linear(3, 2), nn.Parameter(torch.zeros(3))

        def networks_of_f(self) -> list[nn.Module]:
            return [self.down]

        def prior_weights(self) -> list[nn.Parameter]:
            return [self.top]

    silent = TrainedProblem(kind="silent", family="bernoulli", latents=3, dataset="digits")
    assert (silent.learns_decoder, _config().learns_decoder) == (False, True)
    small = Small()
    assert list(map(id, small.generative_weights())) == list(map(id, (*small.down.parameters(), small.top)))
    fixed = _vae(_config(prior="fixed", stochastic_layers=2))
    trainer = _trainer(fixed, "rloo", 1)
    first, second = ({id(p) for p in part} for part in trainer.learned)
    named = {name: id(p) for name, p in fixed.named_parameters() if p.requires_grad}
    assert first == {held for name, held in named.items() if "decoder" not in name}
    assert second == {held for name, held in named.items() if "decoder" in name}


def test_captions_say_that_f_evals_are_those_of_the_estimate() -> None:
    """A budget is the estimate's, as moments and times have it; a curve counts all."""
    records = copy.deepcopy(quick())
    for record in records:
        record["config"]["measurement"]["optimisation"] = {"decoder_samples": 2}
    usual, found = summarise(quick()), summarise(records)
    said = "Decoder and prior are trained by 2 further evaluations of f a row in each step, which f-evals leave out."
    for table in (elbo, time):
        frames = [table.make(getattr(each, table.__name__.rpartition(".")[2]), "rloo") for each in (usual, found)]
        assert [said in frame.caption for frame in frames] == [False, True]


def test_a_budget_that_a_training_alone_tells_is_that_of_the_estimate() -> None:
    one = copy.deepcopy(find(quick(), "train", "rloo"))  # records share the tables of their problems
    spent = one["measurements"]["curve"]["f_evals"]
    rows = one["measurements"]["rows_per_step"] * one["measurements"]["curve"]["step"][-1]
    (own,) = naming.budgets([read(one)], ["p"], ["rloo"])
    assert own == spent[-1] / rows
    one["config"]["measurement"]["optimisation"] = {"decoder_samples": 1}
    assert naming.budgets([read(one)], ["p"], ["rloo"]) == [own - 1]
    one["config"]["problem"]["bound"] = "iwae"
    assert naming.budgets([read(one)], ["p"], ["rloo"]) == [own - one["config"]["estimator"]["samples"]]
