"""The basket beside a plain loop: whose noise is whose, what a passenger learns, what draws are held against."""

from typing import Any

import pytest
import torch
from torch import nn

import bench.datasets
import estimators
from bench.config import EstimatorConfig
from bench.measure import stops
from bench.measure.basket import BasketConfig, MomentsSettings
from bench.measure.draws import gradients
from bench.measure.encoder import Encoder, recorded
from bench.measure.points import Reference
from bench.measure.toy import ToyMoments
from bench.measure.trajectory import travel
from bench.measure.warm import warmed
from bench.problems import base
from bench.problems.toys import ToyConfig
from bench.problems.vae import VAE, VAEConfig
from bench.seeds import derive, stream
from bench.training.batches import Batches, binarised, subset
from bench.training.evaluation import evaluate
from bench.training.settings import Optimisation
from bench.training.trainer import Trainer
from estimators import Estimate, Estimator
from estimators.distributions import parameters, sample
from estimators.exact import expectation, expectation_of_bound
from tests.bench.plain import measure_basket, measure_point, measure_toy
from tests.bench.scripted import told_by_bind

CPU = torch.device("cpu")


def problem(**more: Any) -> VAEConfig:
    return VAEConfig(**({"kind": "vae", "dataset": "digits", "family": "bernoulli", "latents": 2} | more))


def config(reference: str = "rloo", samples: int | None = 3, **more: Any) -> BasketConfig:
    """Checkpoints out of order, and numbers that are all different."""
    settings: dict[str, Any] = {
        "draws": 40,
        "rows": 6,
        "checkpoints": (5, 0, 2),
        "reference": EstimatorConfig(name=reference, samples=samples, label=reference),
        "reference_draws": 1000,
        "trajectory_seed": 4,
        "optimisation": Optimisation(optimiser="sgd", learning_rate=0.25, own_learning_rate=0.0625, batch=9),
    }
    return BasketConfig(**(settings | more))


class Road:
    """A model that is trained by a plain loop; a learner sees each batch before the model moves on."""

    def __init__(self, settings: VAEConfig, basket: BasketConfig, learner: Estimator | None = None) -> None:
        self.data, seed = bench.datasets.load("digits"), basket.trajectory_seed
        self.vae = VAE(settings, self.data.train.mean(0), [seed])
        driver = settings.estimator(basket.reference)
        driver.bind(stack=(1,), context_size=64, event=self.vae.event, generator=stream("estimator", seed))
        self.trainer = Trainer(self.vae, driver, basket.optimisation, noise_seed=seed)
        self.batches = Batches(self.data, basket.optimisation.batch, [seed], CPU)
        self.learner, self.generator = learner, stream("passenger", seed)
        self.rate, self.step = basket.optimisation.own_learning_rate, 0
        self.x = binarised(subset(self.data.train, basket.rows))[None]

    def to(self, step: int) -> VAE:
        while self.step < step:
            x = next(self.batches)
            if self.learner is not None:
                found = self.learner.train()(
                    self.vae.encode(x), self.vae.objective(x), generator=self.generator, context=x
                )
                own = list(self.learner.parameters())
                if own:
                    for p, slope in zip(own, torch.autograd.grad(found.auxiliary.mean(), own), strict=True):
                        p.data -= self.rate * slope
            self.trainer.step(x)
            self.step += 1
        return self.vae


def test_the_reference_is_told_of_one_seed_the_context_and_the_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = problem().estimator(config().reference)
    told = told_by_bind(driver)
    monkeypatch.setattr(VAEConfig, "estimator", lambda *arguments: driver)
    next(travel(problem(), config(), CPU))
    assert told.pop("generator").initial_seed() == stream("estimator", 4).initial_seed()
    assert told == {"stack": (1,), "context_size": 64, "event": (2,)}


PASSENGERS = {
    "without state": ("rloo", {"samples": 4}),
    "with running state": ("reinforce", {"baseline": "moving-average", "samples": 2}),
    "that learns": ("reinforce", {"baseline": "input-dependent"}),
}


@pytest.mark.parametrize("who", PASSENGERS)
def test_a_basket_beside_a_plain_loop(who: str) -> None:
    """Bit for bit: a point is that of the estimator as warm as it is there, from a stream of the cell and the step."""
    name, options = PASSENGERS[who]
    settings, travelled, seed = problem(entropy="analytic"), config(), 21
    found = measure_basket(settings, estimators.get(name).create(**options), travelled, seed=seed, device=CPU)
    learner = estimators.get(name).create(**options)
    learner.bind(stack=(1,), context_size=64, event=(2,), generator=stream("estimator", 4))
    road = Road(settings, travelled, learner if [*learner.buffers(), *learner.parameters()] else None)
    assert list(found) == ["points"]
    assert [point["step"] for point in found["points"]] == [0, 2, 5]
    for point in found["points"]:
        vae, x = road.to(point["step"]), road.x
        q, f = vae.encode(x), vae.objective(x)
        gradient = torch.autograd.grad((expectation(q, f) + vae.kl(q)).sum(), q.logits)[0].double()
        with recorded(vae.encoder) as layers:
            q = vae.encode(x)
        expected = measure_point(
            learner, q, f, Reference(gradient, torch.zeros_like(gradient), "enumeration"), draws=40,
            seed=derive("checkpoint", seed, point["step"]), context=x, closed_form=vae.kl, encoder=Encoder(q, layers),
        )  # fmt: skip
        assert point["elbo"] == float(evaluate(vae, x[0], samples=100, seed=0)[0])
        assert point["rows"] == 6 and point["encoder"] is not None
        close(point, {"step": point["step"], "elbo": point["elbo"]} | expected)
    bounds = [point["elbo"] for point in found["points"]]
    assert len(set(bounds)) == 3


def close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Equal up to the rounding of a sum in single precision, which what is known exactly was made in."""
    assert list(found) == list(expected)
    for key, value in expected.items():
        if isinstance(value, dict):
            close(found[key], value)
        elif isinstance(value, float):
            assert found[key] == pytest.approx(value, rel=1e-4, abs=1e-7, nan_ok=True), key
        else:
            assert found[key] == value, key


@pytest.mark.parametrize("baseline", [None, "input-dependent"])
def test_stops_share_one_road_and_its_rows(baseline: str | None) -> None:
    """Copies of the model as it was, which the road leaves behind, at rows that are drawn once of the train split.

    Who drives starts and learns as in a training of its own.
    """
    settings = config()
    if baseline:
        driver = EstimatorConfig(name="reinforce", options={"baseline": baseline}, label="driver")
        settings = settings.model_copy(update={"reference": driver})
    stops = list(travel(problem(), settings, CPU))
    road = Road(problem(), settings)
    assert [stop.step for stop in stops] == [0, 2, 5]
    for stop in stops:
        for a, b in zip(stop.model.parameters(), road.to(stop.step).parameters(), strict=True):
            assert torch.equal(a, b)
        assert torch.equal(stop.x, road.x)
    assert stops[0].x.shape == (1, 6, 64)


class Watching(Estimator):
    """Notes what it is called with, and learns from it where it has something to learn."""

    def __init__(self, learns: bool) -> None:
        super().__init__(1)
        self.seen: list[tuple[Any, ...]] = []
        self.register_buffer("count", torch.zeros(()))
        self.own = nn.Parameter(torch.tensor([1.0, 3.0])) if learns else None

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        (logits,) = parameters(q)
        z = sample(q, 1, generator)
        value = f(z, q)[0].detach()
        self.seen.append((self.training, torch.is_grad_enabled(), logits.requires_grad, context, float(z.sum())))
        if self.own is None:
            return Estimate(logits.sum(-1), value)
        return Estimate(logits.sum(-1), value, (self.own * torch.tensor([2.0, -4.0])).sum().expand(value.shape))


@pytest.mark.parametrize("learns", [False, True])
def test_a_passenger_sees_each_batch_and_does_not_move_the_model(learns: bool) -> None:
    """At its own rate, by the slope of a mean over rows, from a stream of its own."""
    passenger = Watching(learns).train()
    stops = travel(problem(), config(), CPU, passenger)
    next(stops)
    assert not passenger.seen
    (two, five) = stops
    road, noise = Road(problem(), config()), stream("passenger", 4)
    batches = Batches(road.data, 9, [4], CPU)
    assert len(passenger.seen) == 5
    for step, (training, grad, of_q, context, drawn) in enumerate(passenger.seen):
        assert (training, grad, of_q) == (True, learns, False)
        assert torch.equal(context, next(batches))
        q = road.to(step).encode(context)
        assert drawn == float(sample(q, 1, noise).sum())
    for a, b in zip(five.model.parameters(), Road(problem(), config()).to(5).parameters(), strict=True):
        assert torch.equal(a, b)
    if passenger.own is not None:
        assert passenger.own.tolist() == [1.0 - 5 * 0.0625 * 2.0, 3.0 + 5 * 0.0625 * 4.0]
    assert two.step == 2


def test_what_is_exact_is_enumerated_and_what_is_not_is_a_long_run() -> None:
    """Of the whole loss, with what it holds in closed form; a bound of three samples by its triples of states."""
    (bits,) = travel(problem(entropy="analytic"), config(checkpoints=(1,)), CPU)
    (bound,) = travel(
        problem(bound="iwae", importance_samples=3), config("vimco", checkpoints=(1,)), CPU
    )  # fmt: skip
    for stop, value in (
        (bits, lambda q, f: expectation(q, f) + bits.model.kl(q)),
        (bound, lambda q, f: expectation_of_bound(q, f, 3)),
    ):
        q, f = stop.model.encode(stop.x), stop.model.objective(stop.x)
        expected = torch.autograd.grad(value(q, f).sum(), q.logits)[0].double()
        torch.testing.assert_close(stop.reference.gradient, expected, rtol=1e-4, atol=1e-5)
        assert (stop.reference.method, stop.reference.parts) == ("enumeration", None)
        assert not stop.reference.noise.any()


def test_a_long_run_is_the_references_own_with_a_seed_of_the_step() -> None:
    """A Gaussian's gradient is no sum over states; the closed form is a part of every draw."""
    settings = problem(family="gaussian", entropy="analytic")
    two, three = travel(settings, config("reparameterization", 1, checkpoints=(2, 3)), CPU)
    for stop in (two, three):
        q, f = stop.model.encode(stop.x), stop.model.objective(stop.x)
        draws = torch.cat(
            list(
                gradients(
                    estimators.get("reparameterization").create(), q, f, draws=1000,
                    seed=derive("long run", stop.step), context=stop.x, closed_form=stop.model.kl,
                )
            )
        )  # fmt: skip
        torch.testing.assert_close(stop.reference.gradient, draws.double().mean(0))
        torch.testing.assert_close(stop.reference.noise, draws.double().var(0) / 1000)
        assert stop.reference.method == "long run: reparameterization, 1000 draws"
    assert not torch.equal(two.reference.gradient, three.reference.gradient)


@pytest.mark.parametrize(("most", "method"), [(4**3, "enumeration"), (4**3 - 1, "long run: vimco, 1000 draws")])
def test_more_joint_states_than_can_be_summed_over_make_it_a_long_run(
    most: int, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four states of two bits, in each of three samples of the bound."""
    monkeypatch.setattr(base, "MAX_STATES", most)
    settings = problem(bound="iwae", importance_samples=3)
    (stop,) = travel(settings, config("vimco", checkpoints=(0,)), CPU)
    assert stop.reference.method == method


def test_the_road_without_a_passenger_is_travelled_once_for_cells_of_the_same_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[Any, ...]] = []

    def counted(*arguments: Any, **more: Any) -> Any:
        made.append(arguments)
        return travel(*arguments, **more)

    monkeypatch.setattr(stops, "travel", counted)
    settings = problem(latents=1, architecture=(3,))
    for seed, rows in ((1, 3), (2, 3), (1, 4)):
        measure_basket(
            settings, estimators.get("rloo").create(), config(rows=rows, checkpoints=(0,)), seed=seed, device=CPU
        )
    assert [arguments[1].rows for arguments in made] == [3, 4]


def test_settings_of_moments_have_their_defaults_and_bounds() -> None:
    found = MomentsSettings()
    assert (found.draws, found.rows, found.checkpoints) == (1000, 20, (0, 100, 1000))
    assert (found.reference_draws, found.trajectory_seed, found.warm_up) == (20000, 0, 50)
    names = ["reparameterization", "rloo", "iwae-reparameterization", "vimco"]
    assert [reference.name for reference in found.references] == names
    for wrong in ({"draws": 2}, {"rows": 2}, {"reference_draws": 999}, {"checkpoints": ()}, {"checkpoints": (-1,)},
                  {"trajectory_seed": -1}, {"warm_up": -1}):  # fmt: skip
        with pytest.raises(ValueError, match="for MomentsSettings"):
            MomentsSettings(**wrong)


# A toy, which has no trajectory


@pytest.mark.parametrize("family", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("learns", [False, True])
def test_a_toy_is_one_point_against_its_exact_gradient(family: str, learns: bool) -> None:
    """In double precision, after a warm-up of the cell's steps, rate and seed."""
    swept: dict[str, Any] = {"scales": (0.5,)} if family == "gaussian" else {"logits": (1.0,)}
    toy = ToyConfig(kind="toy", objective="cubic", family=family, latents=3, **swept).points()[0]
    learning = {"bernoulli": ("double-cv", {}), "gaussian": ("lax", {})}  # a baseline has no input to learn from here
    name, options = learning[family] if learns else ("reinforce", {"baseline": "moving-average"})
    settings = ToyMoments(draws=30, warm_up=6, own_learning_rate=0.125, own_betas=(0.5, 0.75))
    (point,) = measure_toy(toy, estimators.get(name).create(**options), settings, seed=9)["points"]
    q, f = toy.q(), toy.f()
    leaves = [p.clone().requires_grad_() for p in parameters(q)]
    gradient = torch.cat(torch.autograd.grad(toy.expectation(type(q)(*leaves) if family == "gaussian" else
                                             type(q)(logits=leaves[0])).sum(), leaves), -1)  # fmt: skip
    same = estimators.get(name).create(**options)
    same.bind(event=(3,), generator=stream("estimator", 9)).double()
    same = warmed(same, q, f, seed=9, steps=6, learning_rate=0.125, betas=(0.5, 0.75))
    method = "closed form" if family == "gaussian" else "enumeration"
    reference = Reference(gradient, torch.zeros_like(gradient), method)
    expected = measure_point(same, q, f, reference, draws=30, seed=9)
    close(point, {"step": None, "elbo": None} | expected)
    assert point["bias"]["reference"] == method
    assert (ToyMoments().draws, ToyMoments().warm_up, ToyMoments().own_learning_rate) == (1000, 50, 1e-3)
