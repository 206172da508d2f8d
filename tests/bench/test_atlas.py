"""The atlas: integrals held against plain enumeration, averages at equal evaluations, questions and their answers."""

import csv
import gzip
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.atlas.query import Question, ranked
from bench.atlas.table import EVALUATIONS, PUBLISHED, SHARPNESS, Integral, at_equal_evaluations, read, written
from bench.studies.atlas import figures, page
from bench.studies.atlas.__main__ import columns
from bench.studies.atlas.measure import MOST, Job, integrals, measured, sample_counts
from bench.studies.atlas.problems import Problems
from bench.studies.atlas.ranks import compared, unbiased
from estimators.errors import BadInput
from tests.bench.processes import forked

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def table() -> list[Integral]:
    return read()


def chosen(table: list[Integral], label: str, latents: str) -> dict[float, Integral]:
    """Rows of the least number of samples by sharpness, of bits and the network."""
    rows: dict[float, Integral] = {}
    for one in table:
        if (one.label, *one.problem[:3]) == (label, "bernoulli", latents, "mlp"):
            rows.setdefault(one.sharpness, one)
    return rows


def costs_of(grid: Problems, row: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All states of two bits, their chances and costs, on one row of a grid."""
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=2)), dtype=torch.float64)
    p = grid.values[0][row].sigmoid()
    chances = (states * p + (1 - states) * (1 - p)).prod(-1)
    ridge = next(r for r in grid.objectives if r.name == grid.rows[row].objective)
    return states, chances, ridge(states)


def test_rloo_is_what_enumerating_all_pairs_of_states_says(table: list[Integral]) -> None:
    grid = Problems("bernoulli", (2,), 2)
    found = {(one.objective, one.sharpness): one for one in measured(Job("rloo", {}, "bernoulli"), grid, MOST)}
    published = chosen(table, "rloo", "2")
    for row, (objective, level) in enumerate(grid.rows):
        if objective == "entropy" or level > 6:
            continue  # log q is no part of a ridge; far out, the plain sums lose digits
        states, chances, cost = costs_of(grid, row)
        p = grid.values[0][row].sigmoid()
        exact = ((chances * cost)[:, None] * (states - p)).sum(0)
        mean, second = torch.zeros(2, dtype=torch.float64), 0.0
        for i, j in itertools.product(range(4), repeat=2):
            estimate = (cost[i] - cost[j]) * (states[i] - states[j]) / 2
            mean += chances[i] * chances[j] * estimate
            second += float(chances[i] * chances[j] * estimate.square().sum())
        deviation = math.sqrt(second - float(mean.square().sum())) / float(exact.norm())
        one = found[objective, level]
        assert one.reason == "" and one.bias < 1e-9
        assert one.deviation == pytest.approx(deviation, rel=1e-8)
        if objective == "mlp":
            assert published[level].deviation == pytest.approx(deviation, rel=1e-5)


def test_straight_through_has_the_bias_that_its_expectation_says() -> None:
    grid = Problems("bernoulli", (2,), 1)
    for row, one in enumerate(measured(Job("straight-through", {}, "bernoulli"), grid, MOST)):
        if one.objective == "entropy" or one.sharpness > 6:
            continue
        states, chances, cost = costs_of(grid, row)
        p = grid.values[0][row].sigmoid()
        exact = ((chances * cost)[:, None] * (states - p)).sum(0)
        leaves = states.clone().requires_grad_()
        ridge = next(r for r in grid.objectives if r.name == one.objective)
        (slope,) = torch.autograd.grad(ridge(leaves).sum(), leaves)
        estimates = p * (1 - p) * slope
        mean = (chances[:, None] * estimates).sum(0)
        variance = (chances[:, None] * (estimates - mean).square()).sum()
        assert one.bias == pytest.approx(float((mean - exact).norm() / exact.norm()), rel=1e-7, abs=1e-9)
        assert one.deviation == pytest.approx(float(variance.sqrt() / exact.norm()), rel=1e-7, abs=1e-7)


def test_the_pathwise_gradient_of_a_square_is_what_its_closed_form_says() -> None:
    """f is a + c (z - t)^2, so that the gradient is 2c (z - t) (1, eps), of known moments."""
    grid = Problems("gaussian", (1,), 1)
    rows = measured(Job("reparameterization", {}, "gaussian"), grid, MOST)
    for row, one in enumerate(rows):
        if one.objective != "quadratic":
            continue
        ridge = next(r for r in grid.objectives if r.name == "quadratic")
        loc, scale = (float(v[row, 0]) for v in grid.values)
        off, c = loc + float(ridge.shift), float(ridge.amplitude)
        exact = 2 * c * math.hypot(off, scale)
        variance = (2 * c) ** 2 * (scale**2 + off**2 + 2 * scale**2)
        assert one.bias < 1e-9
        assert one.deviation == pytest.approx(math.sqrt(variance) / exact, rel=1e-8)


def test_what_draws_no_noise_has_neither_bias_nor_deviation() -> None:
    rows = list(integrals(Job("exact", {}, "bernoulli"), [(1,)]))
    assert {(one.cost, one.reason, one.deviation) for one in rows} == {(2, "", 0.0)}
    assert max(one.bias for one in rows) < 1e-9


def test_ranks_reverse_between_a_flat_and_a_sharp_q(table: list[Integral]) -> None:
    """Four bits, two evaluations: where q is sharp one rare bit decides, whatever f is.

    With p the chance of a rare bit, rloo and disarm have sqrt(1 / 2p), and bitflip, which flips one bit, sqrt(D - 1).
    """
    rloo, disarm, bitflip = (chosen(table, name, "4") for name in ("rloo", "disarm", "bitflip"))
    assert disarm[0.0].deviation < 0.8 * min(rloo[0.0].deviation, bitflip[0.0].deviation)
    for level, expected in ((6.0, 14.3), (10.0, 105.0)):
        assert rloo[level].deviation == pytest.approx(expected, rel=0.03)
        assert disarm[level].deviation == pytest.approx(expected, rel=0.03)
    assert bitflip[6.0].deviation == pytest.approx(1.74, rel=0.02)
    assert bitflip[10.0].deviation == pytest.approx(math.sqrt(3), rel=1e-3)
    cells = unbiased(at_equal_evaluations(table))
    turned = compared(cells, "bernoulli", "4", "mlp", 2).reversed
    assert ("disarm", "bitflip") in [(r.first, r.second) for r in turned]


def test_nothing_declared_unbiased_has_a_bias(table: list[Integral]) -> None:
    found = [one for one in table if one.unbiased and not one.reason]
    assert len(found) > 1000
    assert max(one.bias - 10 * one.tolerance for one in found) < 1e-6


def test_the_published_table_has_what_it_says(table: list[Integral]) -> None:
    assert PUBLISHED.stat().st_size < 2**20
    assert {one.sharpness for one in table} == set(SHARPNESS)
    assert {one.family for one in table} == {"bernoulli", "categorical", "gaussian"}
    assert all(math.isnan(one.deviation) == bool(one.reason) for one in table)
    assert written(table) == PUBLISHED.read_bytes()


def made_up(
    samples: int, cost: int, deviation: float, bias: float = 0.0, name: str = "one", reason: str = ""
) -> Integral:
    declared = name, "", bias == 0, "neither", False
    return Integral(*declared, "bernoulli", "2", "mlp", 6.0, samples, cost, bias, deviation, 1e-16, 4, reason)


def test_an_average_takes_the_better_number_of_samples_and_repeats_it() -> None:
    own = [made_up(1, 1, 4.0), made_up(3, 3, 1.0)]
    best = {a.f_evals: (a.of.samples, a.repeats, a.deviation) for a in at_equal_evaluations(own)}
    assert best[2] == (1, 2, pytest.approx(4 / math.sqrt(2)))
    assert best[3] == (3, 1, 1.0)
    assert best[8] == (3, 2, pytest.approx(1 / math.sqrt(2)))
    assert [*best] == list(EVALUATIONS)


def test_repeats_leave_a_bias_and_what_is_too_dear_has_no_row() -> None:
    (average,) = at_equal_evaluations([made_up(1, 6, 4.0, bias=3.0)], [6])
    assert average.error == 5
    assert list(at_equal_evaluations([made_up(1, 6, 4.0)], [4])) == []
    biased = [made_up(1, 1, 4.0, bias=3.0), made_up(4, 4, 2.0, bias=3.0)]
    (average,) = at_equal_evaluations(biased, [4])
    assert (average.of.samples, average.of.bias) == (1, 3.0)  # of a tie the fewest


def test_a_row_without_a_number_has_its_reason() -> None:
    reason = "the product over its noise has 2e+09 nodes"
    lost = made_up(1, 1, math.nan, reason=reason)
    (average,) = at_equal_evaluations([lost], [2])
    row = columns(average)
    assert (row["found"], row["reason"]) == (False, reason) and math.isnan(row["relative_sd"])
    assert ranked([lost, made_up(1, 1, 1.0, name="two")], Question(6.0, "2", 2, "mlp", "bernoulli")).missing == {
        "one": reason
    }


def test_a_table_is_read_as_written(tmp_path: Path) -> None:
    rows = [made_up(2, 2, 1.25, bias=0.5), made_up(4, 4, 2.0, reason="too dear, that is"), made_up(1, 1, 0.1)]
    rows[1] = rows[1]._replace(bias=math.nan, deviation=math.nan, tolerance=math.nan)
    (tmp_path / "table.csv.gz").write_bytes(written(rows))
    again = read(tmp_path / "table.csv.gz")
    assert again[0] == rows[0] and again[2] == rows[2]
    assert again[1]._replace(bias=0.0, deviation=0.0, tolerance=0.0) == rows[1]._replace(
        bias=0.0, deviation=0.0, tolerance=0.0
    )


def test_sample_counts_are_legal_and_paid_for() -> None:
    assert sample_counts(Job("rloo", {}, "bernoulli"), (2,)) == [2, 3, 4, 6, 8]
    assert sample_counts(Job("disarm", {}, "bernoulli"), (2,)) == [2, 4, 6, 8]
    assert sample_counts(Job("exact", {}, "bernoulli"), (3,)) == [1]
    assert sample_counts(Job("exact", {}, "bernoulli"), (4,)) == []
    assert sample_counts(Job("vimco", {}, "bernoulli"), (2,)) == [2, 3]


def test_the_verb_prints_a_ranking_relative_to_rloo(tmp_path: Path) -> None:
    asked = ["atlas", "--logit", "6", "--latents", "4", "--f-evals", "2"]
    done = forked("bench", *asked, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert all(title in lines[0] for title in ("relative sd", "relative bias", "samples x repeats", "sd / rloo's"))
    found = json.loads(forked("bench", *asked, "--unbiased", "--json", cwd=tmp_path).stdout)
    ranking = {row["name"]: row for row in found["ranking"]}
    assert all(row["unbiased"] for row in ranking.values())
    assert ranking["rloo"]["sd / rloo's"] == 1 and ranking["bitflip"]["sd / rloo's"] < 0.2
    errors = [row["relative sd"] for row in found["ranking"]]
    assert errors == sorted(errors)


SIZE = "a size, |logit| or a Gaussian's s,"
WHOLE = "a whole number is expected, such as 6. It has: 1, 2, 3, 4, 6"
BAD = [
    (["--logit", "5", "--latents", "4", "--f-evals", "2"], "no --logit 5; nearest: 4 and 6"),
    (["--logit", "20", "--latents", "4", "--f-evals", "2"], "no --logit 20; nearest: 15"),
    (["--logit", "6", "--latents", "5", "--f-evals", "2"], "no --latents 5 of bernoulli. It has: 1, 2, 3, 4, 6"),
    (["--logit", "6", "--latents", "4", "--f-evals", "5"], "no --f-evals 5; nearest: 4 and 6"),
    (["--logit", "inf", "--latents", "4", "--f-evals", "2"], "no --logit inf; nearest: 15. It has: 0, 0.5, 1, 2,"),
    (["--logit", "nan", "--latents", "4", "--f-evals", "2"], f"no --logit nan: {SIZE} is expected. It has: 0, 0.5, 1,"),
    (
        ["--logit", "-6", "--latents", "4", "--f-evals", "2"],
        f"no --logit -6: {SIZE} is expected; nearest: 6. It has: 0",
    ),
    (["--logit", "-5", "--latents", "4", "--f-evals", "2"], f"no --logit -5: {SIZE} is expected; nearest: 4 and 6. It"),
    (["--logit", "-inf", "--latents", "4", "--f-evals", "2"], f"no --logit -inf: {SIZE} is expected; nearest: 15. It"),
    (["--logit", "6", "--latents", "5", "--f-evals", "2"], "It has: 1, 2, 3, 4, 6; nearest: 4 and 6"),
    (
        ["--logit", "6", "--latents", "0", "--f-evals", "2"],
        "no --latents 0 of bernoulli. It has: 1, 2, 3, 4, 6; nearest: 1",
    ),
    (["--logit", "6", "--latents", "0x2", "--f-evals", "2"], f"no --latents 0x2 of bernoulli: {WHOLE}"),
    (["--logit", "6", "--latents", "nan", "--f-evals", "2"], f"no --latents nan of bernoulli: {WHOLE}"),
    (["--logit", "6", "--latents", "-3", "--f-evals", "2"], f"no --latents -3 of bernoulli: {WHOLE}"),
    (["--logit", "6", "--latents", "9" * 5000, "--f-evals", "2"], f"9 of bernoulli: {WHOLE}"),
    (
        ["--logit", "6", "--latents", "0x2", "--f-evals", "2", "--family", "categorical"],
        "no --latents 0x2 of categorical. It has: 1x2, 1x3, 2x2, 2x3, 3x3; nearest: 1x2",
    ),
    (
        ["--logit", "6", "--latents", "4", "--f-evals", "2", "--family", "categorical"],
        "no --latents 4 of categorical: latents x classes is expected, such as 3x3. It has: 1x2, 1x3, 2x2, 2x3, 3x3",
    ),
    (
        ["--logit", "6", "--latents", "4", "--f-evals", "0"],
        "no --f-evals 0: a number of at least 1 is expected; nearest: 1",
    ),
    (
        ["--logit", "6", "--latents", "4", "--f-evals", "-3"],
        "no --f-evals -3: a number of at least 1 is expected; nearest",
    ),
    (["--logit", "6", "--latents", "4", "--f-evals", "1" + 400 * "0"], "0; nearest: 8. It has: 1, 2, 3, 4, 6, 8"),
    (["--logit", "6", "--latents", "4", "--f-evals", "2", "--family", "bernouli"], "did you mean 'bernoulli'?"),
    (["--logit", "6", "--latents", "4", "--f-evals", "2", "--objective", "mpl"], "did you mean 'mlp'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[message for _, message in BAD])
def test_what_is_not_in_the_table_is_one_line_that_names_the_nearest(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = forked("bench", "atlas", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_published_page_and_table_are_made_of_the_integrals(table: list[Integral]) -> None:
    folder = ROOT / "results/atlas"
    averages = list(at_equal_evaluations(table))
    made = (folder / "made.txt").read_text().strip()
    assert (folder / "atlas.md").read_text() == page.markdown(table, averages, made)
    with gzip.open(folder / "atlas.csv.gz", "rt", newline="") as lines:
        assert sum(1 for _ in csv.DictReader(lines)) == len(averages)


def test_figures_are_of_every_family(table: list[Integral]) -> None:
    names = {plot.name for plot in figures.plots(list(at_equal_evaluations(table)))}
    wanted = {
        f"{kind}-{family}" for kind in ("winners", "deviation") for family in ("bernoulli", "categorical", "gaussian")
    }
    assert wanted <= names


def test_a_question_names_what_there_is(table: list[Integral]) -> None:
    with pytest.raises(BadInput, match="1x2, 1x3, 2x2, 2x3, 3x3"):
        ranked(table, Question(6.0, "4", 2, "mlp", "categorical"))


def test_the_command_makes_an_atlas_of_one_estimator_in_processes_of_its_own(tmp_path: Path) -> None:
    def words(name: str) -> list[str]:
        return ["bench.studies.atlas", str(tmp_path / "atlas"), "--table", str(tmp_path / "t.csv.gz"), "--only", name]

    made = subprocess.run(
        [sys.executable, "-m", *words("exact")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert {one.estimator for one in read(tmp_path / "t.csv.gz")} == {"exact"}
    assert {path.name for path in (tmp_path / "atlas").iterdir()} >= {"atlas.csv.gz", "atlas.md", "atlas.parquet"}
    wrong = forked(*words("exat"), cwd=ROOT)
    assert wrong.returncode == 2 and "did you mean 'exact'" in " ".join(wrong.stderr.split())
