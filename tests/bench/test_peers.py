"""The comparison with other libraries: the same model on both sides, and the tables made from measurements."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from torch import Tensor

import estimators
from bench.studies import results
from bench.studies.peers import ours, table
from bench.studies.peers.__main__ import main
from bench.studies.peers.cases import (
    COMPARISONS,
    DESCRIPTIONS,
    DIGITS,
    EAGER,
    JAX,
    MNIST,
    PYRO,
    STORCHASTIC,
    Comparison,
    Peer,
)
from bench.studies.peers.networks import Network, PeerStep, gradients_of
from bench.studies.results import Results, Row, Run
from estimators.noise import Noise

# torch's, of what Pyro's compiled ELBO calls.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.trace. is deprecated:DeprecationWarning")

SMALL = DIGITS._replace(pixels=12, hidden=(7,), bits=3, coordinates=2)
Gradients = dict[str, Tensor]


class SingleNoise(Noise):
    """Uniform numbers as torch's distributions draw them, with the digits of single precision."""

    def _fine(self, count: int, like: Tensor) -> Tensor:
        return torch.rand((count, *like.shape), generator=self.generator).clamp(*SINGLE).double()


SINGLE = torch.finfo(torch.float32).eps, 1 - torch.finfo(torch.float32).eps
"""Where `clamp_probs` of torch's distributions cuts numbers off."""


def _find(method: str, peers: tuple[Peer, ...]) -> Comparison:
    """The comparison at digits with these peers, made small enough to enumerate."""
    found = next(c for c in COMPARISONS if c.shape is DIGITS and c.method == method and c.peers == (EAGER, *peers))
    return found._replace(shape=SMALL)


def _pair(comparison: Comparison, peer: Peer, estimator: str | None = None) -> tuple[ours.Trainer, PeerStep, Tensor]:
    """Ours and the peer's step, with the same weights and rows."""
    for module in ("storch", "pyro"):
        pytest.importorskip(module, reason="holds the peers to ours; `tox -e peers` installs them")
    torch.distributions.Distribution.set_default_validate_args(False)  # as importing storch leaves it, and needs it
    from bench.studies.peers.timing import peer_step

    vae = ours.model(comparison)
    trainer = ours.subject(comparison, vae)
    if estimator:
        trainer = ours.trainer(comparison, estimators.get(estimator).create(), vae)
    x = ours.rows(comparison)
    return trainer, peer_step(comparison, peer, Network(comparison, vae), x), ours.stacked(comparison, x)


def _gradients(step: PeerStep) -> Gradients:
    return {name: p.grad.clone() for name, p in step.network.named_parameters()}


@pytest.mark.parametrize("peer", STORCHASTIC, ids=lambda peer: peer.usage)
def test_storchastic_rloo_has_the_exact_gradient_in_mean(peer: Peer) -> None:
    exact, step, x = _pair(_find("RLOO", STORCHASTIC), peer, "exact")
    loss = exact.backward(x).item()
    expected = gradients_of(exact.model)
    torch.manual_seed(0)
    draws, losses, gradients = 400, [], []
    for _ in range(draws):
        losses.append(step.backward().item())
        gradients.append(_gradients(step))
    _in_mean(torch.tensor(losses), torch.tensor(loss))
    for name, value in expected.items():
        _in_mean(torch.stack([g[name] for g in gradients]), value)


def _in_mean(draws: Tensor, expected: Tensor) -> None:
    """Means agree within five standard errors, and the errors are small beside what is estimated."""
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - expected).abs() <= 5 * error + 1e-5).all()
    assert error.norm() < 0.2 * expected.norm()


@pytest.mark.parametrize(
    ("method", "peer"),
    [
        *(("Gumbel-sigmoid", peer) for peer in STORCHASTIC),
        *(("Pathwise", peer) for peer in (*STORCHASTIC, *PYRO)),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.library}-{value.usage}",
)
def test_the_same_noise_gives_the_same_loss_and_gradient(method: str, peer: Peer) -> None:
    comparison = _find(method, STORCHASTIC if peer in STORCHASTIC else PYRO)
    trainer, step, x = _pair(comparison, peer)
    step.backward()  # compiles; the noise below is drawn after it
    trainer.generator = SingleNoise(torch.Generator().manual_seed(7))
    loss = trainer.backward(x)
    torch.manual_seed(7)
    torch.testing.assert_close(step.backward().reshape(()), loss[0], rtol=1e-4, atol=1e-4)
    expected = gradients_of(trainer.model)
    for name, value in _gradients(step).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "peer"),
    [("RLOO", STORCHASTIC[0]), ("Pathwise", PYRO[0]), ("Pathwise", PYRO[1]), ("Pathwise", PYRO[2])],
    ids=lambda value: value if isinstance(value, str) else value.usage,
)
def test_a_step_moves_every_weight_once(method: str, peer: Peer) -> None:
    _, step, _ = _pair(_find(method, STORCHASTIC if peer in STORCHASTIC else PYRO), peer)
    before = {name: p.detach().clone() for name, p in step.network.named_parameters()}
    step.step()
    for name, p in step.network.named_parameters():
        moved = (p.detach() - before[name]).abs()
        # The first step of Adam is the learning rate, whatever the gradient.
        assert moved.max() == pytest.approx(1e-3, rel=0.02), name


JAX_METHODS = [c.method for c in COMPARISONS if c.shape is DIGITS and c.peers == (EAGER, JAX) and c.stacked == 1]


def _beside_jax(method: str) -> tuple[ours.Trainer, Any, Tensor, Any]:
    """Ours with two seeds, JAX's training with its weights, rows [E, B, X] and the noise of our next step for it."""
    pytest.importorskip("jax", reason="holds JAX's step to ours; `tox -e peers` installs it")
    pytest.importorskip("optax", reason="is JAX's optimiser; `tox -e peers` installs it")
    import jax.numpy as jnp

    from bench.studies.peers.jax_steps import Training, Weights
    from bench.studies.peers.timing import job

    comparison = _find(method, (JAX,))._replace(stacked=2)
    trainer = ours.subject(comparison)
    training = Training(job(comparison, threads=1)._replace(steps=1))
    values = {name: jnp.asarray(p.detach().numpy()) for name, p in trainer.model.named_parameters()}
    own = {name: jnp.asarray(p.detach().numpy()[:, 0]) for name, p in trainer.estimator.named_parameters()}
    weights = Weights(*([(w, b[:, 0]) for w, b in _maps(values, of)] for of in ("encoder", "decoder")), own)
    assert [jnp.shape(leaf) for leaf in _leaves(weights)] == [jnp.shape(leaf) for leaf in _leaves(training.state[0])]
    training.state = weights, training.optimiser.init(weights), training.state[2]
    return trainer, training, ours.stacked(comparison, ours.rows(comparison)), _noise(trainer, training)


def _maps(values: dict[str, Any], network: str) -> list[tuple[Any, Any]]:
    """Weight and bias of each affine map of the encoder or the decoder."""
    names = [name.removesuffix(".weight") for name in values if name.startswith(network) and name.endswith("weight")]
    return [(values[f"{name}.weight"], values[f"{name}.bias"]) for name in names]


def _leaves(tree: Any) -> list[Any]:
    import jax

    return list(jax.tree.leaves(tree))


def _noise(trainer: ours.Trainer, training: Any) -> Any:
    """What the estimator will draw next, as JAX's step takes it, [E, S, B, D]: uniform, logistic or normal numbers."""
    import jax.numpy as jnp

    generator = torch.Generator().set_state(trainer.generator.get_state())
    job, method = training.job, training.method
    shape = (method.draws, job.stacked, job.batch, job.sizes[-1])
    if job.estimator == "reparameterization":
        noise = torch.randn(shape, generator=generator)
    else:
        u = torch.rand(shape, generator=generator, dtype=torch.float64)
        noise = (u.logit() if job.estimator == "rebar" else u).float()
    return jnp.asarray(noise.movedim(0, 1).numpy())


def _as_ours(tree: Any, trainer: ours.Trainer) -> dict[str, Tensor]:
    """JAX's numbers by the names, and in the shapes, of our parameters that are trained."""
    maps = [array for layers in (tree.encoder, tree.decoder) for pair in layers for array in pair]
    model = {name: p for name, p in trainer.model.named_parameters() if p.requires_grad}
    own = {name: (p, tree.own[name]) for name, p in trainer.estimator.named_parameters()}
    pairs = {name: (p, array) for (name, p), array in zip(model.items(), maps, strict=True)} | own
    return {name: torch.tensor(array.tolist()).reshape(p.shape) for name, (p, array) in pairs.items()}


def _ours(trainer: ours.Trainer) -> dict[str, Tensor]:
    named = [*trainer.model.named_parameters(), *trainer.estimator.named_parameters()]
    return {name: p for name, p in named if p.requires_grad}


@pytest.mark.parametrize("method", JAX_METHODS)
def test_jax_has_our_gradients_for_the_same_noise(method: str) -> None:
    trainer, training, x, noise = _beside_jax(method)
    import jax

    trainer.backward(x)
    found, _ = jax.vmap(jax.grad(training.method.loss, has_aux=True))(training.state[0], x.numpy(), noise)
    gradients = _as_ours(found, trainer)
    assert set(gradients) == set(_ours(trainer))
    for name, p in _ours(trainer).items():
        assert p.grad is not None
        torch.testing.assert_close(gradients[name], p.grad, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("method", JAX_METHODS)
def test_jax_trains_to_our_weights_for_the_same_noise(method: str) -> None:
    trainer, training, x, _ = _beside_jax(method)
    before = {name: p.detach().clone() for name, p in _ours(trainer).items()}
    weights, adam, _ = training.state
    for _ in range(3):
        noise = _noise(trainer, training)
        weights, adam, value = training.step(weights, adam, x.numpy(), noise)
        trainer.step(x)
    assert value.shape == (2,)
    for name, value in _as_ours(weights, trainer).items():
        moved = (_ours(trainer)[name].detach() - before[name]).abs()
        assert moved.max() > 1e-3  # three steps of Adam's, of up to the learning rate
        torch.testing.assert_close(value, _ours(trainer)[name].detach(), rtol=0, atol=1e-6)


def test_jax_takes_turns_in_a_process_of_its_own() -> None:
    pytest.importorskip("jax", reason="is timed in the process; `tox -e peers` installs it")
    pytest.importorskip("optax", reason="is JAX's optimiser; `tox -e peers` installs it")
    from bench.studies.peers.jax_process import JaxProcess
    from bench.studies.peers.timing import job

    small = job(_find("REBAR", (JAX,)), threads=1)._replace(steps=3, rows=250, binarised=True)
    with JaxProcess(small) as process:
        assert process.started["threads"] == 1 and process.started["compile_seconds"] > 0
        seconds = [process.seconds() for _ in range(3)]
    assert process.process.returncode == 0
    assert all(0 < each < 10 for each in seconds)


def test_a_process_that_ends_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    from bench.studies.peers.jax_process import JaxProcess, Job

    impossible = Job("no-such", (4, 2), 1, 2, 1, 1e-3, 4, 0.3, False, threads=1)
    with pytest.raises(RuntimeError, match="the process with JAX ended with exit status 1"):
        JaxProcess(impossible)
    assert "Error" in capfd.readouterr().err


def test_rows_of_jax_are_shuffled_anew_at_each_pass() -> None:
    _, training, *_ = _beside_jax("DisARM")
    training.job = training.job._replace(batch=3, rows=10, steps=6)
    training.orders, training.next = [training.random.permutation(10) for _ in range(2)], 0
    rows = training.rows()
    assert rows.shape == (6, 2, 3)
    passes = rows.reshape(2, 3, 2, 3).transpose(0, 2, 1, 3).reshape(4, 9)  # of each seed, without the row left over
    assert all(len(set(numbers)) == 9 for numbers in passes.tolist())
    assert len({tuple(numbers) for numbers in passes.tolist()}) == 4


def test_rounds_in_a_slow_spell_are_taken_again() -> None:
    pytest.importorskip("storch", reason="the module that times the peers imports them; `tox -e peers` installs them")
    pytest.importorskip("pyro", reason="the module that times the peers imports them; `tox -e peers` installs them")
    from bench.studies.peers.timing import CALM, MOST, Subject, in_turns

    called: list[str] = []

    def subject(name: str, seconds: Iterator[float]) -> Subject:
        def turn() -> float:
            called.append(name)
            return next(seconds)

        return Subject(turn, first=0.0)

    # A warm-up, a round that was slow, as the next shows, another slow one, and another that counts.
    floor = [2.0, 2.0, 1.0, 1.01 * CALM, 0.99 * CALM]
    ours = [8.0, 7.0, 6.0, 5.0, 4.0]
    seconds, void = in_turns([subject("ours", iter(ours)), subject("floor", iter(floor))], 2, 1, 0.0)
    assert void == 2
    assert seconds == [[6.0, 4.0], [1.0, 0.99 * CALM]]
    assert called[:6] == ["ours", "floor", "floor", "ours", "ours", "floor"]
    rest = [float(index) for index in range(2 * MOST, 0, -1)]  # all slower than the warm-up
    seconds, void = in_turns([subject("floor", iter([0.1, *rest]))], 2, 1, 0.0)
    assert (seconds, void) == ([[1.0, 2.0]], 2 * MOST - 2)


COMPARISON_IDS = [f"{c.shape.name}-{c.method}-{c.entropy}-{c.stacked}-{c.peers[-1].library}" for c in COMPARISONS]


@pytest.mark.parametrize("comparison", COMPARISONS, ids=COMPARISON_IDS)
def test_ours_and_the_floor_evaluate_f_as_often_as_the_method_needs(comparison: Comparison) -> None:
    small = comparison._replace(shape=SMALL)
    relaxed = comparison.estimator == "rebar"  # and once at the relaxed draw
    for trainer in (ours.subject(small), ours.floor(small)):
        assert _evaluations(trainer, ours.stacked(small, ours.rows(small))) == comparison.samples + relaxed


def _evaluations(trainer: ours.Trainer, x: Tensor) -> int:
    """Draws of each row at which a step evaluates f."""
    objective, draws = trainer.model.objective, []

    def counted(x: Tensor) -> Any:
        f = objective(x)

        def of(z: Tensor, *rest: Any) -> Tensor:
            draws.append(len(z))
            return f(z, *rest)

        return of

    trainer.model.objective = counted
    trainer.step(x)
    return sum(draws)


def _measurements() -> Run:
    """Invented seconds for every row of the real table."""
    rows = []
    for comparison in COMPARISONS:
        for threads in comparison.thread_counts:
            for peer in comparison.peers:
                case = comparison.case() | {"threads": threads, "judged": threads == comparison.shape.threads}
                case |= {"model": "784-200-784", "load": [0.0, 0.0, 0.0], "void": 1, "peer": peer.label}
                peer_seconds = 5e-3 if peer.documented else 2e-3
                more = comparison.stacked / comparison.stacked_of(peer)
                measured = {
                    "ours_seconds": 1e-3,
                    "peer_seconds": peer_seconds,
                    "floor_seconds": 0.8e-3,
                    "ratio": more * peer_seconds / 1e-3,
                    "peer_over_floor": more * peer_seconds / 0.8e-3,
                }
                for name, value in measured.items():
                    target = comparison.target(peer) if name == "ratio" else None
                    rows.append(Row.repeated(name, [0.9 * value, value, 1.2 * value], case=case, target=target))
                rows.append(Row(quantity="ours_compile_seconds", value=7.0, case=case))
                if peer.compiles:
                    rows.append(Row(quantity="peer_compile_seconds", value=1.5, case=case))
    return Run(
        name="peers",
        provenance={"gradest": "0.1.0", "torch": "2.13.0", "cpu": "a processor", "cores": 2, "load": [0.5, 0.5, 0.5]},
        about={
            "batch": 100,
            "rounds": 3,
            "warm_up": 1,
            "calm": 1.2,
            "peers": {"storchastic": "0.3.7", "pyro-ppl": "1.9.2"},
        },
        rows=tuple(rows),
    )


def test_the_table_judges_documented_use_at_the_declared_threads() -> None:
    text = table.markdown(_measurements())
    rloo = next(line for line in text.splitlines() if "RLOO" in line and "its example" in line)
    cells = [cell.strip() for cell in rloo.strip("|").split("|")]
    assert cells == [
        "784-200-784", "RLOO", "storchastic, its example", "1.00", "5.00", "0.800", "5.00 [4.75, 5.50]",
        "6.25", "7.00", "", "4", "yes",
    ]  # fmt: skip
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[:7] == [
        "## MNIST, 2 threads", "## digits, 1 thread", "## digits, 10 seeds, 1 thread",
        "## Beside JAX: MNIST, 2 threads", "## Beside JAX: MNIST, 5 seeds, 2 threads",
        "## Beside JAX: digits, 1 thread", "## Beside JAX: digits, 10 seeds, 1 thread",
    ]  # fmt: skip
    assert headings[7:] and all(line.endswith("for comparison") for line in headings[7:])


def test_a_method_that_comes_twice_says_how_the_kl_divergence_is_had() -> None:
    both = [{"method": "Pathwise", "entropy": entropy} for entropy in ("analytic", "sampled")]
    assert list(table.method_names(both).values()) == ["Pathwise, KL closed", "Pathwise, KL sampled"]
    assert list(table.method_names(both[1:]).values()) == ["Pathwise"]


def test_the_table_judges_jax_and_our_eager_step() -> None:
    text = table.markdown(_measurements())
    judged = {}
    for section in text.split("## Beside JAX: ")[1:5]:
        for line in section.partition("\n## ")[0].splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) > 3 and cells[2] in ("ours, eager", "JAX"):
                judged[section.partition("\n")[0], *cells[1:3]] = cells[9:]
    digits, ten = "digits, 1 thread", "digits, 10 seeds, 1 thread"
    assert judged[digits, "DisARM", "ours, eager"] == ["", "2.2", "yes"]
    assert judged[digits, "REBAR", "ours, eager"] == ["", "3.5", "yes"]
    assert judged[digits, "RLOO", "ours, eager"] == ["", "", ""]
    assert judged[digits, "REBAR", "JAX"] == ["1.50", "0.5", "yes"]
    assert judged[ten, "REBAR", "JAX"] == ["1.50", "1", "yes"]
    assert len(judged) == 32


def test_seeds_that_are_stacked_on_both_sides_count_once() -> None:
    (comparison,) = (c for c in COMPARISONS if c.shape is DIGITS and c.method == "DisARM" and c.stacked > 1)
    assert [comparison.stacked_of(peer) for peer in (EAGER, JAX, STORCHASTIC[0], PYRO[0])] == [10, 10, 1, 1]


@pytest.mark.parametrize(("ratio", "met"), [(3.0, "no"), (4.0, "unclear"), (5.0, "yes")])
def test_a_target_within_the_interquartile_range_is_neither_met_nor_missed(ratio: float, met: str) -> None:
    run = _measurements()
    aimed = [row.case for row in run.rows if row.target == 4 and row.case["peer"] == STORCHASTIC[0].label]
    values = {row.quantity: [1e-3] for row in run.rows} | {"ratio": [0.9 * ratio, ratio, 1.2 * ratio]}
    rows = tuple(
        Row.repeated(row.quantity, values[row.quantity], case=row.case, target=row.target)
        for row in run.rows
        if row.case in aimed
    )
    run = run.model_copy(update={"rows": rows})
    assert {row["met"] for row in table.wide(run)} == {met}
    assert f"| {met}" in table.markdown(run)


def test_every_way_to_use_a_peer_is_described() -> None:
    assert {peer.label for peer in (EAGER, *STORCHASTIC, *PYRO, JAX)} == set(DESCRIPTIONS)


def test_table_and_figure_are_made_from_the_measurements_alone(tmp_path: Path) -> None:
    run = _measurements()
    results.write(tmp_path / "peers.json", Results(runs=(run,)))
    main(tmp_path, redraw=True)
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    figures = {f"{name}.{ending}" for name in ("peers", "peers-jax") for ending in ("pdf", "png")}
    assert set(contents) == {"peers.json", "peers.csv", "peers.md", *figures}
    assert all(contents[name].startswith(b"%PDF" if name.endswith("pdf") else b"\x89PNG") for name in figures)
    assert len(contents["peers.csv"].splitlines()) == 1 + sum(row.quantity == "ratio" for row in run.rows)


def test_redrawing_nothing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _refused(tmp_path, capsys, "peers.json", redraw=True)


def test_without_the_peers_it_is_one_line_that_says_what_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.studies.peers.__main__.MODULES", {"no_such_module": "storchastic"})
    _refused(tmp_path, capsys, "storchastic is not installed here: run `tox -e peers`")


def _refused(out: Path, capsys: pytest.CaptureFixture[str], words: str, **options: bool) -> None:
    with pytest.raises(typer.Exit) as refusal:
        main(out, **options)
    assert refusal.value.exit_code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error
    assert not list(out.iterdir())


def test_shapes_are_those_of_the_issue() -> None:
    assert (MNIST.pixels, MNIST.hidden, MNIST.bits, MNIST.coordinates) == (784, (), 200, 200)
    assert (DIGITS.pixels, DIGITS.hidden) == (64, (64,))
