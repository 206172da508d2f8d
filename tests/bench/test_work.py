"""Which cell is taken next: beside other runners, after deaths, and when a process dies of a cell."""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from bench.records.record import Record
from bench.run import work
from bench.run.cell import make_record
from bench.run.claims import Claims
from bench.run.executors import Died, Results, Run, inline
from bench.run.executors.apart import Apart
from bench.run.limit import Limit
from bench.run.runner import run_suite
from bench.run.store import Store
from bench.run.work import MOST_DEATHS, Work
from bench.suite.load import override, parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Cell, Suite
from bench.training.stopped import Stopped
from tests.bench.executors import Executing
from tests.bench.records import LEAST
from tests.bench.test_suite import SMALL


def suite_of(*estimators: str) -> Suite:
    """Five cells an estimator: two points of a toy, moments and a training of a VAE, and a time."""
    return override(parse_suite(SMALL.encode(), "small.toml"), estimators=list(estimators or ["rloo"]))


@pytest.fixture
def cells() -> list[Cell]:
    return plan(suite_of()).cells


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "POLL", 0.01)
    monkeypatch.setattr("bench.run.cell.measure", lambda cell: LEAST[cell.measurement.kind])


class Scripted:
    """An executor that says of some cells, by their place in the plan, that their process died; notes what it ran."""

    elsewhere = False

    def __init__(self, cells: list[Cell], dying: Iterable[int] = ()) -> None:
        self.dying = {cells[place].id for place in dying}
        self.ran: list[str] = []
        self.by_itself: list[str] = []

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, cells: Iterable[Cell], run: Run) -> Results:
        for cell in cells:
            self.ran.append(cell.id)
            yield cell, Died("its process died") if cell.id in self.dying else run(cell)

    alone = __call__

    def singly(self, cells: Iterable[Cell], run: Run) -> Results:
        for cell in cells:
            self.by_itself.append(cell.id)
            yield from self([cell], run)

    def start(self, run: Run) -> None:
        pass


def _record(cell: Cell) -> Record:
    return make_record(cell, {}, None, datetime.now(UTC), 0.0)


def _work(claims: Claims, done: dict[str, Record], found: list[str]) -> Work:
    return Work(claims, Limit(60), lambda cell: done.get(cell.id), lambda record, cell: found.append(cell.id))


def test_what_another_runner_has_is_waited_for_and_what_it_finishes_is_not_run(
    tmp_path: Path, cells: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    done: dict[str, Record] = {}
    found: list[str] = []
    with Claims(tmp_path) as other, Claims(tmp_path) as claims:
        for cell in cells[:2]:
            other.take(cell.id, cell.title)
        mine, executor = _work(claims, done, found), Scripted(cells)
        mine.add(cells)
        results = mine.results(executor, Apart(Limit()), _record)
        ran = [next(results)[0].id for _ in range(2)]
        assert ran == [cell.id for cell in cells[2:4]]
        assert len(list((tmp_path / "claims").glob("*.json"))) == 2 + 2 + 1  # heartbeats, the other's, the last one
        done[cells[0].id] = _record(cells[0])
        other.release(cells[0].id)
        other.release(cells[1].id)  # it gave that one up
        assert [cell.id for cell, _ in results] == [cells[4].id, cells[1].id]
        assert found == [cells[0].id]
        assert mine.left == {}
    assert "waits for" not in capsys.readouterr().err


def test_a_runner_that_waits_says_for_whom_once(
    tmp_path: Path, cells: list[Cell], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, naps = Limit(), list[float]()

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            limit.deadline = time.monotonic()

    monkeypatch.setattr(work, "time", SimpleNamespace(sleep=sleep))
    with Claims(tmp_path) as other, Claims(tmp_path) as claims:
        for cell in cells[:2]:
            other.take(cell.id, cell.title)
        mine = Work(claims, limit, lambda cell: None, lambda record, cell: None)
        mine.add(cells[:2])
        with pytest.raises(Stopped):
            list(mine.results(inline, Apart(Limit()), _record))
        assert set(mine.left) == {cell.id for cell in cells[:2]}
    assert naps == [work.POLL] * 3
    said = capsys.readouterr().err
    assert said.count("waits for what runs beside it in this folder, cells: 2 of process ") == 1


def test_a_cell_whose_process_died_is_tried_once_more_apart_and_last(tmp_path: Path, cells: list[Cell]) -> None:
    first, apart = Scripted(cells, dying=[0, 1, 4]), Scripted(cells, dying=[1])
    with Claims(tmp_path) as claims:
        mine = _work(claims, {}, [])
        mine.add(cells)
        results = [(cell.id, result) for cell, result in mine.results(first, apart, _record)]  # type: ignore[arg-type]
    assert first.ran == [cell.id for cell in cells]
    assert apart.ran == [cells[place].id for place in (0, 1, 4)]
    assert [cell for cell, _ in results] == [cells[place].id for place in (2, 3, 0, 1, 4)]
    assert [cell for cell, result in results if isinstance(result, Died)] == [cells[1].id]
    assert [mine.tries(cell) for cell in cells] == [2, 2, 1, 1, 2]


def test_cells_that_were_under_way_when_a_runner_died_are_given_singly(tmp_path: Path, cells: list[Cell]) -> None:
    """Else one of them that ends its process would be taken for the death of others, which were tried before too."""
    executor = Scripted(cells)
    with Claims(tmp_path) as claims:
        mine = _work(claims, {}, [])
        mine.add(cells)
        mine.suspect({cells[0].id: 1, cells[2].id: 1})
        results = [cell.id for cell, _ in mine.results(executor, Apart(Limit()), _record)]
    assert executor.by_itself == [cells[0].id, cells[2].id]
    assert sorted(results) == sorted(cell.id for cell in cells)


def test_of_a_process_that_had_several_cells_one_line_is_written(
    tmp_path: Path, cells: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    death = Died("its worker process was killed by SIGKILL", cells=3)

    def spread(taken: Sequence[Cell], run: Run) -> Results:
        yield from ((cell, death if cell in cells[1:4] else run(cell)) for cell in taken)

    with Claims(tmp_path) as claims:
        mine, apart = _work(claims, {}, []), Scripted(cells)
        mine.add(cells)
        results = list(mine.results(Executing(spread), apart, _record))  # type: ignore[arg-type]
    assert apart.ran == [cell.id for cell in cells[1:4]]
    assert all(isinstance(result, Record) for _, result in results) and len(results) == len(cells)
    assert capsys.readouterr().err == (
        f"{cells[1].title} and 2 more cells: its worker process was killed by SIGKILL, which had them all; they are "
        "tried once more, last and in a process of their own\n"
    )


@pytest.mark.parametrize("deaths", [1, MOST_DEATHS - 1, MOST_DEATHS])
def test_a_cell_of_which_runners_died_is_last_and_in_the_end_not_tried_any_more(
    tmp_path: Path, cells: list[Cell], deaths: int
) -> None:
    executor = Scripted(cells)
    with Claims(tmp_path) as claims:
        mine = _work(claims, {}, [])
        mine.add(cells)
        assert mine.suspect({cells[0].id: deaths, "0" * 16: 1}) == [cells[0]]
        results = {cell.id: result for cell, result in mine.results(executor, Apart(Limit()), _record)}
    order = [cells[place].id for place in (1, 2, 3, 0, 4)]  # a time comes after all that runs beside others
    assert executor.ran == (order if deaths < MOST_DEATHS else order[:3] + order[4:])
    assert isinstance(results[cells[0].id], Died if deaths >= MOST_DEATHS else Record)


def test_a_cell_that_was_stopped_is_free_for_others_and_not_begun_again(tmp_path: Path, cells: list[Cell]) -> None:
    with Claims(tmp_path) as claims:
        mine = _work(claims, {}, [])
        mine.add(cells)
        stopped = {cells[0].id, cells[4].id}
        results = mine.results(inline, Apart(Limit()), lambda cell: Stopped("SIGTERM") if cell.id in stopped
                               else _record(cell))  # fmt: skip
        assert [isinstance(result, Stopped) for _, result in results] == [True, False, False, False, True]
        assert mine.given_up == stopped
        assert claims.running() == {}


@pytest.mark.parametrize("within", ["_make", "claim"])
def test_ctrl_c_while_a_cell_is_claimed_or_given_free_leaves_no_claim(
    tmp_path: Path, cells: list[Cell], monkeypatch: pytest.MonkeyPatch, within: str
) -> None:
    before = getattr(Claims, within)

    def interrupted(claims: Claims, cell: str, *more: Any) -> Any:
        found = before(claims, cell, *more)
        if within == "_make" or (found and cell not in claims._mine):  # made and not noted yet, or noted no more
            os.kill(os.getpid(), signal.SIGINT)
        return found

    with Claims(tmp_path) as claims, Limit(60) as limit:
        mine = Work(claims, limit, lambda cell: None, lambda record, cell: None)
        mine.add(cells)
        monkeypatch.setattr(Claims, within, interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(mine.results(inline, Apart(limit), _record))
        monkeypatch.undo()
    assert not (tmp_path / "claims").exists()


def test_a_runner_beside_one_that_measures_times_begins_nothing(tmp_path: Path, cells: list[Cell]) -> None:
    with Claims(tmp_path) as other, Claims(tmp_path) as claims:
        mine = _work(claims, {}, [])
        mine.add(cells)
        timing: Any = other.alone(lambda: None)
        with timing:
            assert list(mine._round(inline, Apart(Limit()), _record)) == []  # type: ignore[arg-type]
        assert len(list(mine.results(inline, Apart(Limit()), _record))) == 5


@pytest.mark.parametrize("measures_times", [True, False])
def test_what_was_left_to_another_runner_is_run_where_that_one_ends_just_then(
    tmp_path: Path, cells: list[Cell], measures_times: bool
) -> None:
    with Claims(tmp_path) as claims:
        mine = _work(claims, {}, [])
        mine.add(cells)
        with ExitStack() as others:
            other = others.enter_context(Claims(tmp_path))
            if measures_times:
                others.enter_context(other.alone(lambda: None))
            else:
                for cell in cells:
                    other.take(cell.id)
            rounds = mine._round

            def ends(*asked: Any) -> Iterator[Any]:
                yield from rounds(*asked)
                others.close()

            with mock.patch.object(mine, "_round", ends):
                assert len(list(mine.results(inline, Apart(Limit()), _record))) == 5


def _killed(root: Path, cell: Cell) -> None:
    """What a runner leaves that was killed while it had the cell."""
    (root / "claims").mkdir(parents=True, exist_ok=True)
    claim = {"runner": "0" * 16, "deaths": 0, "step": 0, "title": cell.title}
    (root / "claims" / f"{cell.id}.json").write_text(json.dumps(claim))


def test_a_cell_that_is_put_last_keeps_nobody_waiting(tmp_path: Path, cells: list[Cell]) -> None:
    """One runner waits with its times until the other has no cell, and that one until the times are measured."""
    with Claims(tmp_path) as timing, Claims(tmp_path) as claims:
        mine, executor = _work(claims, {}, []), Scripted(cells)
        mine.add(cells)
        _killed(tmp_path, cells[0])  # beside these two
        results = mine.results(executor, executor, _record)  # type: ignore[arg-type]
        assert next(results)[0] is cells[1]
        waits = iter(range(50))

        def others() -> None:
            next(waits)  # not for ever
            list(mine._round(executor, executor, _record))  # type: ignore[arg-type]

        claims.release(cells[1].id)  # which is done
        with timing.alone(others):
            assert timing.left_behind() == {cells[0].id: 1}
        list(results)
        assert [executor.ran.count(cell.id) for cell in cells] == [1] * 5
        assert mine.tries(cells[0]) == 2


def test_after_a_runner_that_was_killed_all_runs_in_a_process_apart_which_may_die(
    tmp_path: Path, cells: list[Cell], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cell that ended the run ends that process, and becomes a record; another of its kind is tried twice."""
    here = os.getpid()

    def measure(cell: Cell) -> dict[str, Any]:
        assert os.getpid() != here
        if cell.id in (cells[0].id, cells[2].id):
            os.kill(os.getpid(), signal.SIGKILL)
        return LEAST[cell.measurement.kind]

    monkeypatch.setattr("bench.run.cell.measure", measure)
    # A fork has what was patched; a process that begins anew would not.
    monkeypatch.setattr(Apart, "start", _forking(Apart.start))
    _killed(tmp_path, cells[0])
    outcome = run_suite(suite_of(), tmp_path, executor=inline)
    assert (outcome.done, outcome.fresh, outcome.left) == (5, 5, 0)
    records = {cell.id: Store(tmp_path).read(cell.id) for cell in cells}
    died = {place: record for place, cell in enumerate(cells) if (record := records[cell.id]).status == "died"}
    assert list(died) == [0, 2]
    assert [record.attempts for record in died.values()] == [2, 2]
    assert all("was killed by SIGKILL" in record.reason for record in died.values())
    assert not (tmp_path / "claims").exists()
    said = capsys.readouterr().err
    assert f"{cells[0].title}: was under way when an earlier run ended without a word, and is put last" in said
    assert run_suite(suite_of(), tmp_path, executor=inline).fresh == 0
    monkeypatch.setattr("bench.run.cell.measure", lambda cell: LEAST[cell.measurement.kind])
    again = run_suite(suite_of(), tmp_path, executor=inline, retry_failed=True)
    assert (again.fresh, again.unwell) == (2, [])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_process_apart_is_forked_only_where_each_cell_computes_on_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Torch's threads are not there in a fork, and operations on several would wait for them for ever.

    Once the heart beats, a process begins anew.
    """
    suite, beside = suite_of().model_copy(update={"threads": threads}), list[int]()
    start = _forking(Apart.start)  # whatever it would do here

    def noted(self: Apart, run: Run) -> None:
        beside.append(threading.active_count())
        start(self, run)

    monkeypatch.setattr(Apart, "start", noted)
    _killed(tmp_path, plan(suite).cells[0])
    assert run_suite(suite, tmp_path, executor=inline).fresh == 5
    assert (beside[0] == threading.active_count()) == (threads == 1)


def _forking(start: Callable[[Apart, Run], None]) -> Callable[[Apart, Run], None]:
    fork = multiprocessing.get_context("fork")

    def always(self: Apart, run: Run) -> None:
        with mock.patch.object(multiprocessing, "get_context", return_value=fork):
            start(self, run)

    return always


def test_memory_that_ran_out_is_tried_again_once_and_by_the_next_run_where_it_was_not(
    tmp_path: Path, cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = tmp_path / "tries"

    def measure(cell: Cell) -> dict[str, Any]:
        with tries.open("a") as file:
            file.write(cell.id + "\n")
        if cell.id == cells[1].id:
            raise MemoryError("too much")
        return LEAST[cell.measurement.kind]

    monkeypatch.setattr("bench.run.cell.measure", measure)
    monkeypatch.setattr(Apart, "start", _forking(Apart.start))
    out = tmp_path / "out"
    outcome = run_suite(suite_of(), out, executor=inline)
    (record,) = outcome.unwell
    assert (record.status, record.reason, record.attempts) == ("out-of-memory", "MemoryError: too much", 2)
    assert tries.read_text().split() == [cell.id for cell in (*cells, cells[1])]
    assert run_suite(suite_of(), out, executor=inline).fresh == 0
    Store(out).write(record.model_copy(update={"attempts": 1}))  # as one of before there were attempts
    assert run_suite(suite_of(), out, executor=inline).fresh == 1


class Slow:
    """Runs cells that wait, and says so."""

    def __init__(self, started: Path) -> None:
        self.started = started

    def __call__(self, cell: Cell) -> Record:
        self.started.touch()
        time.sleep(60)
        return _record(cell)


def test_an_interrupt_ends_a_process_apart_with_what_it_runs(
    tmp_path: Path, cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.run.executors.apart.TO_STOP", 0.1)
    limit = Limit()
    with limit, Apart(limit) as apart:
        results: Iterator[Any] = apart(cells[:1], Slow(tmp_path / "started"))

        def interrupt() -> None:
            deadline = time.monotonic() + 60
            while not (tmp_path / "started").exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        _, result = next(results)
        assert isinstance(result, Stopped)
        assert result.lost is not None and result.lost < 50
        with pytest.raises(KeyboardInterrupt):
            next(results)
        assert apart._process is None
