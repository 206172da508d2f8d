"""Seeds: a stream a purpose, a cell and a checkpoint, the same on every machine and in every version."""

from typing import Any

import pytest
import torch

import estimators
from bench.config import EstimatorConfig
from bench.measure import basket, elbo, toy, wallclock
from bench.measure.basket import BasketConfig
from bench.measure.elbo import TrainConfig
from bench.measure.toy import ToyMoments
from bench.measure.trajectory import travel
from bench.measure.wallclock import TimeConfig
from bench.problems.toys import ToyConfig
from bench.problems.vae import VAEConfig
from bench.records.values import plain
from bench.seeds import derive, stream
from bench.suite.schema import Cell
from bench.training.settings import Optimisation
from tests.bench.plain import measure_basket, measure_toy, run_cell

VAE_OF_TWO = VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=2)
(TOY,) = ToyConfig(kind="toy", objective="cubic", family="bernoulli", latents=2, logits=(1.0,)).points()
RLOO = EstimatorConfig(name="rloo", samples=2)
# Steps that leave every weight where it is: what differs along them is the noise alone.
STILL = BasketConfig(draws=20, rows=3, checkpoints=(0, 1, 3), reference=RLOO, reference_draws=1000, trajectory_seed=0,
                     optimisation=Optimisation(batch=4, learning_rate=1e-30))  # fmt: skip


@pytest.mark.parametrize(
    ("key", "seed"),
    [
        # printf 'a:1:2' | sha256sum | cut -c 1-8
        (("a",), 0xCA978112),
        (("a", 1, 2), 0xF2BC4964),
        (("a", 2, 1), 0xC640BEB5),
        (("a", 12), 0x6BDF9791),
        (("a", 1, 23), 0x0A6CBE7F),
        (("a", 12, 3), 0x2C0BB554),
        (("data", 0), 0x0B1050A4),
        (("weights", 3), 0xB877855C),
        (("noise", 5), 0x6F2E44BC),
        (("evaluate", 7), 0x7C858403),
        (("checkpoint", 12, 100), 0x5F669E90),
        (("checkpoint", 100, 12), 0x47406582),
    ],
)
def test_a_seed_is_the_first_32_bits_of_a_hash_of_purpose_and_numbers(key: tuple[Any, ...], seed: int) -> None:
    assert derive(*key) == seed
    assert stream(*key).initial_seed() == seed
    assert torch.equal(
        torch.rand(3, generator=stream(*key)), torch.rand(3, generator=torch.Generator().manual_seed(seed))
    )


def _cell(measurement: Any, problem: Any, label: str = "") -> Cell:
    estimator = EstimatorConfig(name="rloo", samples=2, label=label)
    return Cell(measurement=measurement, problem=problem, estimator=estimator, device="cpu", threads=1)


def test_a_cell_draws_from_the_first_half_of_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it measures; any change of its configuration is another id, and so other noise."""
    seen: list[tuple[str, int]] = []
    homes = {"measure_toy": toy, "measure_basket": basket, "measure_training": elbo, "measure_time": wallclock}
    for name, home in homes.items():
        monkeypatch.setattr(home, name, lambda *rest, seed, name=name, **more: seen.append((name, seed)) or {})
    cells = {
        "measure_toy": _cell(ToyMoments(), TOY),
        "measure_basket": _cell(STILL, VAE_OF_TWO),
        "measure_training": _cell(TrainConfig(optimisation=Optimisation()), VAE_OF_TWO),
        "measure_time": _cell(TimeConfig(optimisation=Optimisation()), VAE_OF_TWO),
    }
    for cell in cells.values():
        assert run_cell(cell)["status"] == "ok"
    assert seen == [(name, int.from_bytes(bytes.fromhex(cell.id)[:4], "big")) for name, cell in cells.items()]
    assert len({seed for _, seed in seen}) == 4


def test_two_cells_have_two_noises_and_one_cell_has_one() -> None:
    """Even where the same estimator stands in a suite under two labels."""
    one, other = (_cell(ToyMoments(draws=40), TOY, label) for label in ("one", "other"))
    first, again, else_where = (run_cell(cell)["measurements"] for cell in (one, one, other))
    assert first == again
    assert first["points"][0]["q"]["variance"] != else_where["points"][0]["q"]["variance"]
    seed = int(one.id, 16) // 2**32
    assert first == plain(measure_toy(TOY, estimators.get("rloo").create(samples=2), one.measurement, seed=seed))


def test_every_checkpoint_has_a_noise_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first 32 bits of sha256 of "checkpoint:12:0" and so on."""
    seeds: list[int] = []
    measure = basket.measure_point
    monkeypatch.setattr(
        basket, "measure_point", lambda *rest, **more: seeds.append(more["seed"]) or measure(*rest, **more)
    )

    def variances(seed: int) -> list[float]:
        rloo = estimators.get("rloo").create(samples=2)
        found = measure_basket(VAE_OF_TWO, rloo, STILL, seed=seed, device=torch.device("cpu"))
        assert [point["step"] for point in found["points"]] == [0, 1, 3]
        assert len({point["elbo"] for point in found["points"]}) == 1, "the weights moved"
        return [point["q"]["variance"]["estimate"] for point in found["points"]]

    once, again, other = variances(12), variances(12), variances(13)
    assert seeds[:3] == [0x5D8CC033, 0x4E499FFF, 0x100F7E2C]
    assert once == again
    assert len({*once, *other}) == 6


def test_long_run_references_of_two_checkpoints_share_no_draws() -> None:
    problem = VAE_OF_TWO.model_copy(update={"family": "gaussian"})
    still = STILL.model_copy(update={"reference": EstimatorConfig(name="reparameterization", samples=2)})
    once, again = ([stop.reference.gradient for stop in travel(problem, still, torch.device("cpu"))] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert not torch.equal(once[0], once[1]) and not torch.equal(once[1], once[2])
