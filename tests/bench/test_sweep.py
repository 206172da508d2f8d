"""Learning rates as cells of their own, and a grid that grows while an estimator's best rate lies at its end."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bench.cli.dry_run import show_plan
from bench.cli.loudness import ASKED
from bench.run.executors import inline
from bench.run.limit import Limit
from bench.run.planned import forget_plan, read_plan
from bench.run.runner import run_suite
from bench.run.status import status
from bench.run.store import Record
from bench.statistics.sweep import best_rate, beyond, merit
from bench.suite.load import override, parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Cell, Suite
from bench.training.stopped import Stopped
from estimators import BadInput
from tests.bench.executors import Executing
from tests.bench.plain import Store
from tests.bench.records import LEAST
from tests.bench.test_suite import SMALL

SWEPT = SMALL.replace("evaluations = 2", "evaluations = 2\nlearning_rates = [3e-3, 1e-3]")
UNTIMED = SWEPT.partition("[time]")[0]
"""Five cells an estimator; times are run after the others of a round, and by no executor."""
Ends = list[float | None]


def suite_of(*estimators: str, text: str = SWEPT) -> Suite:
    return override(parse_suite(text.encode(), "small.toml"), estimators=list(estimators or ["rloo"]))


def rates(cells: Sequence[Cell], name: str = "rloo") -> list[float]:
    """The learning rates of an estimator's trainings, in order."""
    trainings = [cell for cell in cells if cell.measurement.kind == "train" and cell.estimator.name == name]
    return sorted(cell.measurement.optimisation.learning_rate for cell in trainings)


class Stubs:
    """Trainings that end at once, with what a function of estimator and rate says; they are noted."""

    def __init__(self) -> None:
        self.ends: Callable[[str, float], Ends | Exception] = lambda name, rate: peak(1e-2, rate)
        self.seen: list[Cell] = []

    def measure(self, cell: Cell) -> dict[str, object]:
        self.seen.append(cell)
        if cell.measurement.kind != "train":
            return LEAST[cell.measurement.kind]
        ends = self.ends(cell.estimator.name, cell.measurement.optimisation.learning_rate)
        if isinstance(ends, Exception):
            raise ends
        gone = [None if end is not None else 4 for end in ends]
        return {"seeds": [*range(len(ends))], "diverged": gone, "curve": {}, "final": {"test_elbo": ends}}


def peak(at: float, rate: float) -> Ends:
    """Highest at a rate, by the distance of logarithms."""
    return [-100 - abs(math.log(rate / at)), -101 - abs(math.log(rate / at))]


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> Stubs:
    made = Stubs()
    monkeypatch.setattr("bench.run.cell.measure", made.measure)
    return made


@pytest.mark.parametrize(
    ("ends", "best"),
    [
        ({1e-3: [-3.0, -5.0], 1e-2: [-3.0, -4.0]}, 1e-2),
        ({1e-3: [-3.0, -4.0], 1e-2: [-3.0, -4.0]}, 1e-3),
        ({1e-3: [-90.0, -90.0], 1e-2: [-3.0, None]}, 1e-3),
        ({1e-3: [-90.0, None], 1e-2: [None, -3.0]}, 1e-2),
        ({1e-3: [None, math.nan], 1e-2: [-900.0, None]}, 1e-2),
        ({1e-3: [], 1e-2: [-900.0]}, 1e-2),
        ({1e-3: [], 1e-2: [None]}, None),
        ({}, None),
    ],
)
def test_the_best_rate_is_that_of_most_seeds_that_ended_and_then_of_the_highest_mean(
    ends: dict[float, Ends], best: float | None
) -> None:
    assert best_rate(ends) == best


def test_the_merit_of_a_rate_counts_its_seeds_before_their_elbo() -> None:
    assert merit([-1.0, None, -3.0, math.inf]) == (0.5, -2.0)
    assert merit([None]) == merit([]) == (0.0, -math.inf)


@pytest.mark.parametrize(
    ("grid", "best", "following"),
    [
        ([1e-3, 3e-3], 3e-3, 9e-3),
        ([3e-3, 1e-3], 1e-3, 0.000333333),
        ([1e-3, 3e-3, 1e-2], 1e-2, 0.0333333),
        ([1e-3, 3e-3, 1e-2], 3e-3, None),
        ([1e-3], 1e-3, None),
    ],
)
def test_a_grid_goes_on_by_the_ratio_at_its_end(grid: list[float], best: float, following: float | None) -> None:
    assert beyond(grid, best) == following


def test_each_rate_is_the_cell_that_a_suite_with_that_rate_alone_has() -> None:
    """And nothing but trainings is swept; a grid in ascending order, with its ends as they are, is no part of an id."""
    swept = plan(suite_of("rloo", "arm"))
    assert rates(swept.cells) == rates(swept.cells, "arm") == [1e-3, 3e-3]
    ids = {cell.id for cell in swept.cells}
    alone = {
        rate: {cell.id: cell.measurement.kind for cell in plan(suite_of("rloo", "arm", text=text)).cells}
        for rate, text in ((1e-3, SMALL), (3e-3, SMALL.replace("batch = 10", "batch = 10\nlearning_rate = 3e-3")))
    }
    assert ids == alone[1e-3].keys() | {cell for cell, kind in alone[3e-3].items() if kind == "train"}
    assert {cell.id for cell in plan(suite_of("rloo", "arm", text=SWEPT.replace("3e-3", "3e-3, 9e-3"))).cells} > ids
    grown = plan(suite_of("rloo", "arm", text=SWEPT.replace("[moments]", "grow = 1\n[moments]")))
    assert [cell.id for cell in grown.cells] == [cell.id for cell in swept.cells]


def test_a_target_is_a_part_of_what_is_trained_and_of_nothing_else() -> None:
    """So that one which is moved after results were seen asks for other cells."""
    before, after = (
        plan(suite_of()).cells,
        plan(suite_of(text=SWEPT.replace("[moments]", "target = -9\n[moments]"))).cells,
    )
    changed = [one.measurement.kind for one, other in zip(before, after, strict=True) if one.id != other.id]
    assert changed == ["train", "train"]
    (cell, *_) = [cell for cell in after if cell.measurement.kind == "train"]
    assert (cell.identity.measurement.target, cell.identity.measurement.learning_rate) == (-9.0, 1e-3)
    assert before[0].identity.measurement.target is None
    assert before[0].identity.measurement.learning_rate is None  # of moments, whose trajectory has one


def test_a_grid_grows_no_further_than_rates_may_lie(tmp_path: Path, stubs: Stubs) -> None:
    stubs.ends = lambda name, rate: peak(1e9, rate)
    run_suite(suite_of(text=UNTIMED.replace("[3e-3, 1e-3]", "[5, 20]")), tmp_path, executor=inline)
    assert rates(stubs.seen) == [5, 20, 80]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("learning_rates = [1e-3, 0]", "elbo.learning_rates.1: "),
        ("learning_rates = [1e-3, inf]", "elbo.learning_rates.1: "),
        ("learning_rates = [1e-3, 2, 1e-3]", "learning_rates holds 0.001 more than once: leave each rate there once"),
        ("learning_rates = [1e-3]\ngrow = 2", "grow = 2 continues the ratio of neighbouring learning_rates, and there"),
        ("grow = 1", "are 0: give two at least, or leave grow out"),
        ("learning_rates = [1, 2]\ngrow = -1", "elbo.grow: "),
        ("target = nan", "elbo.target: "),
        (
            "learning_rates = [1e-300, 1]",
            "learning_rates holds 1e-300, and a rate is expected between 1e-08 and 100: a",
        ),
        ("learning_rates = [1e-3, 1e10]\ngrow = 10", "learning_rates holds 1e+10, and a rate is expected between"),
        ("learning_rates = [1e-3, 1.0000001e-3]", "holds 0.001 and 0.0010000001, which are 0.001 both in three digits"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_in_one_line(line: str, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_suite(SMALL.replace("evaluations = 2", line).encode(), "small.toml")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


UP, DOWN = [1e-3, 3e-3, 9e-3, 0.027], [0.000333333, 1e-3, 3e-3]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (lambda rate: peak(1e-2, rate), UP),
        (lambda rate: peak(1e-9, rate), [3.7037e-05, 0.000111111, *DOWN]),  # to the limit
        (lambda rate: peak(1e-3, rate), DOWN),
        (lambda rate: [-100.0 - 1e6 * (rate < 3e-3), None if rate > 3e-3 else -100.0], UP[:3]),
        (lambda rate: RuntimeError("no such luck") if rate > 3e-3 else peak(1, rate), UP[:3]),
        (lambda rate: [None, None], UP[:2]),
        (lambda rate: RuntimeError("no such luck"), UP[:2]),
    ],
    ids=["up", "limit", "down", "diverged", "failed", "all diverged", "all failed"],
)
def test_a_grid_grows_until_the_best_rate_lies_inside(
    tmp_path: Path, stubs: Stubs, ends: Callable[[float], Ends | Exception], expected: list[float]
) -> None:
    stubs.ends = lambda name, rate: ends(rate)
    outcome = run_suite(suite_of(), tmp_path, executor=inline)
    assert rates(stubs.seen) == expected
    assert (outcome.fresh, outcome.left) == (outcome.done, 0) == (4 + len(expected), 0)
    assert {cell.id for cell in stubs.seen} == read_plan(tmp_path)


def test_estimators_and_problems_have_grids_of_their_own(tmp_path: Path, stubs: Stubs) -> None:
    text = SWEPT.replace(
        "problems = [", 'problems = [\n {kind = "vae", dataset = "digits", family = "gaussian", latents = 2},'
    )
    text = text.replace("[moments]", "grow = 1\n[moments]")
    stubs.ends = lambda name, rate: peak(1e-2 if name == "arm" else 1e-4, rate)
    run_suite(suite_of("rloo", "arm", "reparameterization", text=text), tmp_path, executor=inline)
    assert rates(stubs.seen, "arm") == UP[:3]
    assert rates(stubs.seen, "rloo") == sorted(2 * DOWN)  # of both problems
    assert rates(stubs.seen, "reparameterization") == DOWN


def test_times_that_were_planned_wait_for_no_grid_and_a_grid_follows_in_another_round(
    tmp_path: Path, stubs: Stubs
) -> None:
    """What a person sees: each round begins with what it is to run and how much is done."""
    from contextlib import contextmanager

    rounds = []

    @contextmanager
    def starting(cells: list[Cell], kept: int) -> Iterator[None]:
        rounds.append((rates(cells), len(cells), kept))
        yield

    run_suite(suite_of(), tmp_path, executor=inline, starting=starting)
    assert rounds == [([1e-3, 3e-3], 6, 0), ([9e-3], 1, 6), ([0.027], 1, 7)]


@pytest.mark.parametrize("cells", range(7))
def test_a_run_that_is_stopped_anywhere_comes_to_the_same_cells(tmp_path: Path, stubs: Stubs, cells: int) -> None:
    """Killed after so many cells, and told of by its folder in between."""
    suite = suite_of(text=UNTIMED)

    def killed(todo: Sequence[Cell], run: Callable[[Cell], Record]) -> Iterator[tuple[Cell, Record]]:
        for cell in todo:
            if len(stubs.seen) == cells:
                raise KeyboardInterrupt
            yield cell, run(cell)

    with pytest.raises(KeyboardInterrupt):
        run_suite(suite, tmp_path, executor=Executing(killed))
    found = status(tmp_path)
    assert (found["done"], found["cells"]) == (cells, 5 + max(0, cells - 4))
    outcome = run_suite(suite, tmp_path, executor=inline)
    assert (outcome.done, outcome.fresh) == (7, 7 - cells)
    assert rates(stubs.seen) == UP
    assert len(stubs.seen) == len(set(stubs.seen)) == 7
    found = status(tmp_path)
    assert (found["cells"], found["done"], found["pending"]) == (7, 7, 0)
    forget_plan(tmp_path)  # as a published folder is
    assert status(tmp_path) == found
    assert run_suite(suite, tmp_path, executor=inline) == outcome._replace(fresh=0)


@pytest.mark.parametrize("stop", [4, 5, 6])
def test_what_a_grid_asks_for_is_left_when_a_limit_stops_the_run(tmp_path: Path, stubs: Stubs, stop: int) -> None:
    """And counted as left, where it is known already."""

    def limited(todo: Sequence[Cell], run: Callable[[Cell], Record]) -> Iterator[tuple[Cell, Record | Stopped]]:
        for cell in todo:
            yield cell, run(cell) if len(stubs.seen) < stop else Stopped("its time limit")

    outcome = run_suite(suite_of(text=UNTIMED), tmp_path, executor=Executing(limited))
    assert (outcome.done, outcome.left, bool(outcome.stopped)) == (stop, 1, True)
    assert len(read_plan(tmp_path) or ()) == stop + 1
    assert status(tmp_path)["pending"] == 1
    run_suite(suite_of(text=UNTIMED), tmp_path, executor=inline, limit=Limit(3600))
    assert rates(stubs.seen) == UP


def test_a_grid_waits_for_the_last_of_its_rates(tmp_path: Path, stubs: Stubs) -> None:
    """The better of two rates lies at an edge of the two, and inside where the third one is done."""

    def limited(todo: Sequence[Cell], run: Callable[[Cell], Record]) -> Iterator[tuple[Cell, Record | Stopped]]:
        for cell in todo:
            yield cell, run(cell) if len(stubs.seen) < 5 else Stopped("its time limit")

    suite = suite_of(text=UNTIMED.replace("[3e-3, 1e-3]", "[1e-3, 1e-2, 5e-2]"))
    outcome = run_suite(suite, tmp_path, executor=Executing(limited))
    assert (rates(stubs.seen), outcome.left) == ([1e-3, 1e-2], 1)
    assert len(read_plan(tmp_path) or ()) == 6
    assert run_suite(suite, tmp_path, executor=inline).done == 6
    assert rates(stubs.seen) == [1e-3, 1e-2, 5e-2]


def test_force_runs_a_grid_again_from_its_beginning(tmp_path: Path, stubs: Stubs) -> None:
    """By what is measured now: nothing grows by records of before."""
    run_suite(suite_of(), tmp_path, executor=inline)
    stubs.seen.clear()
    assert run_suite(suite_of(), tmp_path, executor=inline, force=True)[:2] == (8, 8)
    assert rates(stubs.seen) == UP
    stubs.seen.clear()
    stubs.ends = lambda name, rate: peak(1e-3, rate)
    assert run_suite(suite_of(), tmp_path, executor=inline, force=True)[:2] == (7, 7)
    assert rates(stubs.seen) == DOWN


def test_a_dry_run_shows_the_grid_as_it_is_and_says_that_it_may_grow(
    tmp_path: Path, stubs: Stubs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ASKED, "verbose", True)
    words = (
        "may grow: where an estimator's best learning rate lies at an end of its grid, 0.001 or 0.003, up to 3 more "
        "follow there, a cell each\n"
    )
    show_plan(suite_of("rloo", "arm"), tmp_path / "new")
    told = capsys.readouterr().out
    assert told.count(words) == 1
    assert told.count("train digits/bernoulli-3/8 rloo, learning rate 0.003") == 1
    assert not (tmp_path / "new").exists()
    run_suite(suite_of(), tmp_path, executor=inline)
    show_plan(suite_of(), tmp_path)
    told = capsys.readouterr().out
    assert all(f"train digits/bernoulli-3/8 rloo, learning rate {rate:g}" in told for rate in UP)
    assert told.endswith(f"8 cells, 8 of them done, into {tmp_path}\n")
    show_plan(suite_of(text=SMALL), tmp_path)
    assert "may grow" not in capsys.readouterr().out


REAL = """
name = "real"
seeds = 2
problems = [{kind = "vae", dataset = "digits", family = "bernoulli", latents = 3}]
estimators = ["rloo"]
[training]
steps = 12
batch = 10
compile = false
[elbo]
evaluations = 3
evaluation_rows = 100
evaluation_samples = 1
iwae_samples = 1
learning_rates = [1e-4, 1e-3]
grow = 1
"""


def test_short_trainings_of_digits_grow_to_larger_steps(tmp_path: Path) -> None:
    """A dozen steps gain most with the largest rate, which lies at the grid's end when it may grow no more."""
    suite = parse_suite(REAL.encode(), "real.toml")
    assert run_suite(suite, tmp_path, executor=inline)[:2] == (3, 3)
    records = Store(tmp_path).whole()
    ends = {r["config"]["measurement"]["optimisation"]["learning_rate"]: r["measurements"]["final"] for r in records}
    assert sorted(ends) == [1e-4, 1e-3, 1e-2]
    elbos = [sum(ends[rate]["test_elbo"]) for rate in sorted(ends)]
    assert elbos == sorted(elbos)
    assert read_plan(tmp_path) == {record["cell"] for record in records}
