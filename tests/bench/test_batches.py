"""Short cells that a worker is given by a few at once: how many, in which order, and what comes of them."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from distributed.protocol.pickle import dumps

from bench.records.record import Record
from bench.run.cell import make_record
from bench.run.executors import Died, Results, worker
from bench.run.executors.batches import MOST, TOGETHER, Batches
from bench.run.executors.local import Local
from bench.run.executors.pool import Given, Pool
from bench.run.executors.worker import run_here, stop_here
from bench.run.keeper import Kept
from bench.run.limit import Limit
from bench.suite.load import override, parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Cell
from bench.training.stopped import Stopped
from tests.bench.executors import at_once
from tests.bench.test_suite import SMALL

ROOT = str(Path(__file__).parents[2])


def toys(estimator: str) -> list[Cell]:
    """Of one sort: an estimator's moments of a toy at many points."""
    points = SMALL.replace("logits = [0, 3]", f"logits = {[i / 8 for i in range(40)]}")
    assert points != SMALL
    every = plan(override(parse_suite(points.encode(), "small.toml"), estimators=[estimator])).cells
    return [cell for cell in every if cell.problem.kind == "toy"]


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    return toys("rloo")


@pytest.fixture(scope="module")
def others() -> list[Cell]:
    """Of other sorts: moments of a model, and trainings."""
    every = plan(override(parse_suite(SMALL.encode(), "small.toml"), estimators=["rloo"])).cells
    return [cell for cell in every if cell.problem.kind != "toy"]


def record(cell: Cell, seconds: float) -> Record:
    return make_record(cell, {}, None, datetime.now(UTC), seconds)


def test_as_many_at_once_as_take_a_moment(cells: list[Cell]) -> None:
    batches = Batches(cells)
    assert batches.take() == cells[:1]  # nobody knows how long it takes
    assert batches.take() == cells[1:2]
    batches.took(record(cells[0], TOGETHER / 4.5), cells[0])
    assert batches.take() == cells[2:6]
    batches.took(record(cells[1], 10.0), cells[1])
    assert batches.take() == cells[6:7]
    for _ in range(30):
        batches.took(record(cells[1], 0.0), cells[1])
    assert batches.take() == cells[7 : 7 + MOST]
    batches.died(cells[:1])
    assert batches.take() == cells[7 + MOST : 8 + MOST]
    assert not batches.ended


def test_how_long_a_cell_takes_is_known_by_its_estimator_and_by_what_it_costs() -> None:
    """One that is much more work, or of an estimator that nobody has seen yet, is given by itself."""
    (few,), (many,) = (
        plan(override(parse_suite(MOMENTS.format(draws=draws).encode(), "a.toml"), estimators=["rloo"])).cells
        for draws in (100, 100_000)
    )
    others = toys("arm")[:3]
    batches = Batches([few, few, many, few, many, few, *others])
    batches.took(record(few, TOGETHER / 4), few)
    assert batches.take() == [few, few]  # and so much of one more is not there
    assert batches.take() == [many]
    assert batches.take() == [few]
    assert batches.take() == [many]
    assert batches.take() == [few]
    assert [len(batches.take()) for _ in others] == [1, 1, 1]
    assert (batches.take(), batches.ended) == ([], True)


MOMENTS = """
name = "a"
problems = [{{kind = "toy", objective = "cubic", family = "bernoulli", latents = 2, logits = [0]}}]
estimators = ["rloo"]
[moments]
draws = {draws}
"""


def followed(cells: Sequence[Cell], taken: list[Cell]) -> Iterator[Cell]:
    """The cells, each noted as it is taken."""
    for cell in cells:
        taken.append(cell)
        yield cell


def test_while_a_long_cell_runs_others_may_have_the_next(cells: list[Cell]) -> None:
    """What is taken is claimed, so that no other runner has it."""
    taken: list[Cell] = []
    batches = Batches(followed(cells, taken))
    assert batches.take() == taken == cells[:1]
    batches.took(record(cells[0], 20.0), cells[0])
    assert batches.take() == cells[1:2]
    assert taken == cells[:2]


def test_one_at_a_time_where_that_was_asked_for(cells: list[Cell]) -> None:
    batches = Batches(cells, most=1)
    batches.took(record(cells[0], 0.0), cells[0])
    assert [batches.take() for _ in range(3)] == [[cell] for cell in cells[:3]]


def test_a_cell_of_which_nothing_is_known_is_not_given_behind_others(cells: list[Cell], others: list[Cell]) -> None:
    """One that may take an hour does not hold up what came of short ones, and is taken when its turn has come."""
    given = [*cells[:2], others[0], *cells[2:4]]
    taken: list[Cell] = []
    batches = Batches(followed(given, taken))
    batches.took(record(cells[0], 0.0), cells[0])
    assert taken == []
    assert batches.take() == cells[:2]
    assert batches.take() == others[:1]
    assert taken == given[:3]
    assert batches.take() == cells[2:4]
    assert (batches.take(), batches.ended) == ([], True)


def test_what_was_not_begun_is_given_first_and_in_order(cells: list[Cell]) -> None:
    batches = Batches(cells[:6])
    batches.took(record(cells[0], 0.0), cells[0])
    assert batches.take() == cells[:6]
    assert batches.ended
    batches.put_back(cells[2:6])
    assert not batches.ended
    assert batches.take() == cells[2:6]
    assert batches.ended


class Taking:
    """Runs cells that take so many seconds each by a clock of their own, whatever else the machine does."""

    now = 0.0

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, cell: Cell) -> Record:
        Taking.now += self.seconds
        return record(cell, 0.0)


def test_a_worker_begins_nothing_more_when_its_time_is_over(cells: list[Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: Taking.now))
    for seconds, begun in ((0.0, 5), (0.3 * TOGETHER, 4), (0.6 * TOGETHER, 2), (1.1 * TOGETHER, 1)):
        ran = run_here(dumps((Taking(seconds), cells[:5])), "", {})
        assert [one.cell for one in ran if isinstance(one, Record)] == [cell.id for cell in cells[:begun]]
        assert len(ran) == begun


class Third:
    """Runs two cells at once, and is at the third until it is told to stop."""

    def __init__(self) -> None:
        self.limit, self.ran, self.begun = Limit(), 0, threading.Event()

    def __call__(self, cell: Cell) -> Record | Stopped:
        self.ran += 1
        if self.ran == 3:
            self.begun.set()
            while not self.limit.reached:
                time.sleep(0.001)
            return Stopped("SIGTERM", 1.0)
        return record(cell, 0.0)


def test_a_worker_that_is_told_to_stop_gives_what_came_before(cells: list[Cell]) -> None:
    run = Third()
    with mock.patch("bench.run.executors.worker.loads", return_value=(run, cells[:5])):
        thread = threading.Thread(target=run_here, args=(b"", run.limit.token, {}))
        thread.start()
        assert run.begun.wait(10)
        so_far = stop_here(run.limit.token, "SIGTERM")
        thread.join()
    assert [one.cell for one in so_far if isinstance(one, Record)] == [cell.id for cell in cells[:2]]
    assert len(so_far) == 2
    assert stop_here(run.limit.token, "SIGTERM") == []


@pytest.mark.parametrize("ends", [False, True])
def test_what_was_done_of_several_is_kept_where_another_of_them_is_stopped(cells: list[Cell], ends: bool) -> None:
    pool = Pool(Local(2), Limit())
    pool._client = mock.Mock(status="closed")
    pool._given["key"] = Given(cells[:5], "worker", time.monotonic() - 60.0, mock.Mock())
    done = [record(cell, 0.0) for cell in cells[:2]]
    pool._events.put(("told", ("worker", done)))
    if ends:  # by itself, in time
        pool._events.put(("done", ("key", [*done, record(cells[2], 60.0), Stopped("SIGTERM"), Stopped("SIGTERM")])))
        with mock.patch.object(Given, "may_end", return_value=True):
            came = list(pool._stopped("SIGTERM"))
    else:
        came = list(pool._stopped("SIGTERM"))
    assert [cell for cell, _ in came] == (cells[:5] if ends else cells[:3])
    assert [isinstance(result, Record) for _, result in came] == [
        True,
        True,
        *([True, False, False] if ends else [False]),
    ]
    if not ends:
        assert isinstance(came[2][1], Stopped)
        assert came[2][1].lost is not None


def test_every_cell_comes_once_over_real_workers(
    tmp_path: Path, cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a process dies of one of several: those that it had come with the one exception, and count it."""
    monkeypatch.setenv("PYTHONPATH", ROOT)  # where the workers find the tests
    deadly = toys("arm")[30]
    given = [*cells[:30], deadly, *cells[31:]]
    with Limit() as limit, Pool(Local(2), limit) as pool:
        found = list(pool(given, Kept(tmp_path, Limit(), at_once)))
        again = list(pool(cells, Kept(tmp_path, Limit(), at_once)))
        singly = list(pool.singly([*cells[:5], deadly, *cells[5:20]], Kept(tmp_path, Limit(), at_once)))
        came = list[Cell]()
        with pytest.raises(KeyboardInterrupt):
            _interrupted(pool(cells, Kept(tmp_path, limit, at_once)), came)
    assert sorted(cell.id for cell, _ in found) == sorted(cell.id for cell in given)
    died = [(cell, result) for cell, result in found if isinstance(result, Died)]
    assert deadly in [cell for cell, _ in died]
    assert {result.cells for _, result in died} == {len(died)}
    assert len({id(result) for _, result in died}) == 1
    assert 1 <= len(died) <= MOST
    for cell, result in [*found, *again]:
        assert isinstance(result, Died) or (isinstance(result, Record) and result.cell == cell.id)
    assert not any(isinstance(result, Died) for _, result in again)
    assert len(again) == len(cells)
    assert [(cell, result.cells) for cell, result in singly if isinstance(result, Died)] == [(deadly, 1)]
    assert len(singly) == 21
    assert 5 < len(came) <= len(cells)
    assert len({*map(id, came)}) == len(came)


def _interrupted(results: Results, came: list[Cell]) -> None:
    """Take results, and send a Ctrl-C after five, which is not to be heard here: others that came would be lost."""
    for cell, _ in results:
        came.append(cell)
        if len(came) == 5:
            os.kill(os.getpid(), signal.SIGINT)
