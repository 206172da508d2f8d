"""The comparison with other libraries: the same model on both sides, and the table made from measurements."""

import math
from pathlib import Path

import pytest
import torch
import typer
from torch import Tensor

import estimators
from bench.measure.draws import probe
from bench.studies import results
from bench.studies.peers import ours, table
from bench.studies.peers.__main__ import main
from bench.studies.peers.cases import (
    COMPARISONS,
    DESCRIPTIONS,
    DIGITS,
    MNIST,
    PYRO,
    STORCHASTIC,
    THREADS,
    Comparison,
    Peer,
)
from bench.studies.peers.networks import Network, PeerStep, gradients_of
from bench.studies.results import Results, Row, Run

# torch's, of what Pyro's compiled ELBO calls.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.trace. is deprecated:DeprecationWarning")

SMALL = DIGITS._replace(pixels=12, hidden=(7,), bits=3, coordinates=2)
Gradients = dict[str, Tensor]


def _find(method: str, peers: tuple[Peer, ...]) -> Comparison:
    """The comparison at digits, made small enough to enumerate."""
    found = next(c for c in COMPARISONS if c.shape is DIGITS and c.method == method and c.peers == peers)
    return found._replace(shape=SMALL)


def _pair(comparison: Comparison, peer: Peer, estimator: str | None = None) -> tuple[ours.Trainer, PeerStep, Tensor]:
    """Ours and the peer's step, with the same weights and rows."""
    for module in ("storch", "pyro"):
        pytest.importorskip(module, reason="holds the peers to ours; `tox -e peers` installs them")
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
    trainer.generator.manual_seed(7)
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


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda c: f"{c.shape.name}-{c.method}-{c.entropy}-{c.stacked}")
def test_ours_and_the_floor_evaluate_f_once_a_sample(comparison: Comparison) -> None:
    small = comparison._replace(shape=SMALL)
    for trainer in (ours.subject(small), ours.floor(small)):
        x = ours.stacked(small, ours.rows(small))
        q, f = trainer.model.encode(x), trainer.model.objective(x)
        assert probe(trainer.estimator, q, f, x).evaluations == comparison.samples


def _measurements() -> Run:
    """Invented seconds for every row of the real table."""
    rows = []
    for comparison in COMPARISONS:
        for threads in THREADS:
            for peer in comparison.peers:
                case = comparison.case() | {"threads": threads, "judged": threads == comparison.shape.threads}
                case |= {"model": "784-200-784", "load": [0.0, 0.0, 0.0], "peer": peer.label}
                peer_seconds = 4e-3 if peer.documented else 2e-3
                measured = {
                    "ours_seconds": 1e-3,
                    "peer_seconds": peer_seconds,
                    "floor_seconds": 0.8e-3,
                    "ratio": comparison.stacked * peer_seconds / 1e-3,
                    "peer_over_floor": comparison.stacked * peer_seconds / 0.8e-3,
                }
                for name, value in measured.items():
                    target = comparison.target if name == "ratio" and peer.documented else None
                    rows.append(Row.repeated(name, [0.9 * value, value, 1.2 * value], case=case, target=target))
    return Run(
        name="peers",
        provenance={"gradest": "0.1.0", "torch": "2.13.0", "cpu": "a processor", "cores": 2, "load": [0.5, 0.5, 0.5]},
        about={"batch": 100, "rounds": 3, "warm_up": 1, "peers": {"storchastic": "0.3.7", "pyro-ppl": "1.9.2"}},
        rows=tuple(rows),
    )


def test_the_table_judges_documented_use_at_the_declared_threads() -> None:
    text = table.markdown(_measurements())
    rloo = next(line for line in text.splitlines() if "RLOO" in line and "its example" in line)
    cells = [cell.strip() for cell in rloo.strip("|").split("|")]
    assert cells == [
        "784-200-784", "RLOO", "storchastic, its example", "1.00", "4.00", "0.800", "4.00 [3.80, 4.40]",
        "5.00", "2.3", "yes",
    ]  # fmt: skip
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[:3] == ["## MNIST, 2 threads", "## digits, 1 thread", "## digits, 10 seeds, 1 thread"]
    assert all(line.endswith("for comparison") for line in headings[3:])


@pytest.mark.parametrize(("ratio", "met"), [(1.5, "no"), (2.3, "unclear"), (3.0, "yes")])
def test_a_target_within_the_interquartile_range_is_neither_met_nor_missed(ratio: float, met: str) -> None:
    run = _measurements()
    aimed = [row.case for row in run.rows if row.target == 2.3]
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
    assert {peer.label for peer in (*STORCHASTIC, *PYRO)} == set(DESCRIPTIONS)


def test_table_and_figure_are_made_from_the_measurements_alone(tmp_path: Path) -> None:
    run = _measurements()
    results.write(tmp_path / "peers.json", Results(runs=(run,)))
    main(tmp_path, redraw=True)
    contents = {path.suffix: path.read_bytes() for path in tmp_path.glob("peers.*")}
    assert set(contents) == {".json", ".csv", ".md", ".pdf", ".png"}
    assert contents[".pdf"].startswith(b"%PDF") and contents[".png"].startswith(b"\x89PNG")
    assert len(contents[".csv"].splitlines()) == 1 + len(run.rows) / 5


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
