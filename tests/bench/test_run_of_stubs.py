"""Running without training: which cells are run, by whom, in which order, and what their records say."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import bench.datasets
from bench.measure import basket, elbo, toy, wallclock
from bench.records.identity import cell_id
from bench.run import runner
from bench.run.cell import measure
from bench.run.executors import Asked, Results, Run, executor_for
from bench.run.executors.inline import Inline, inline
from bench.run.provenance import source_hash
from bench.run.runner import Outcome, prepare, run_suite
from bench.run.store import Record
from bench.suite.load import override, parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Cell, Suite
from estimators import BadInput, Estimator, register, registry
from tests.bench.executors import Executing
from tests.bench.plain import Store, make_record, run_cell, values
from tests.bench.records import LEAST
from tests.bench.test_suite import SMALL

TWO_LAYERS = '{kind = "vae", dataset = "digits", family = "bernoulli", latents = 2, stochastic_layers = 2}'

MEASURED_BY = {"measure_toy": toy, "measure_basket": basket, "measure_training": elbo, "measure_time": wallclock}


def suite_of(*estimators: str, text: str = SMALL) -> Suite:
    """A VAE, with moments, a training and a time, and a toy at two points: five cells an estimator."""
    return override(parse_suite(text.encode(), "small.toml"), estimators=list(estimators or ["rloo"]))


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """Cells are measured at once; they are noted."""
    seen: list[Cell] = []

    def at_once(cell: Cell) -> Record:
        seen.append(cell)
        return LEAST[cell.measurement.kind] | {"number": len(seen)}

    monkeypatch.setattr("bench.run.cell.measure", at_once)
    return seen


def test_a_cell_is_measured_with_its_own_settings_and_the_seed_of_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    for name, home in MEASURED_BY.items():

        def called(*arguments: Any, name: str = name, **more: Any) -> Record:
            calls.append((name, *arguments, more))
            return {"of": name}

        monkeypatch.setattr(home, name, called)
    text = SMALL.replace("problems = [", f"problems = [\n    {TWO_LAYERS},")
    cells = plan(suite_of("reinforce[samples=3,baseline=moving-average]", text=text)).cells
    assert len(cells) == 8
    for cell in cells:
        kind = "toy" if cell.problem.kind == "toy" else cell.measurement.kind
        function = {"toy": "toy", "moments": "basket", "train": "training", "time": "time"}[kind]
        assert measure(cell) == {"of": f"measure_{function}"}
        name, problem, estimator, config, more = calls.pop()
        assert (name, problem, config) == (f"measure_{function}", cell.problem, cell.measurement)
        device = {} if kind == "toy" else {"device": torch.device("cpu")}
        assert more == {"seed": int(cell.id, 16) // 16**8} | device
        layers = [estimator.lower, estimator.upper] if "two-layers" in cell.problem.label else [estimator]
        of = [(layer.entry.name, layer.samples, type(layer.baseline).__name__) for layer in layers]
        assert of == [("reinforce", 3, "MovingAverage")] * len(layers)
    on_cuda = next(cell for cell in cells if cell.measurement.kind == "time").model_copy(update={"device": "cuda"})
    measure(on_cuda)
    assert calls.pop()[-1]["device"] == torch.device("cuda")
    impossible = on_cuda.model_copy(update={"problem": cells[0].problem})
    with pytest.raises(TypeError, match=r"^no measurement 'time' for a toy$"):
        measure(impossible)


def test_a_record_says_what_was_run_how_when_and_by_what(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks, threads = iter((100.0, 102.5)), []
    cell = plan(suite_of("reinforce[baseline=input-dependent,variance_normalisation=true]")).cells[-1]
    cell = cell.model_copy(update={"threads": 3, "device": "cuda"})
    monkeypatch.setattr("bench.run.cell.time.perf_counter", lambda: next(ticks))
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr("bench.run.cell.measure", lambda cell: {"threads": list(threads)})
    monkeypatch.setattr(
        "bench.run.cell.provenance", lambda estimator, device: {"of": (type(estimator.baseline).__name__, device)}
    )
    before = datetime.now(UTC)
    record = run_cell(cell)
    started = record.pop("started")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", started)
    assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(started) <= datetime.now(UTC)
    entry = registry.get("reinforce")
    tags = record.pop("tags")
    assert tags == entry.tags() | {"unbiased": False}  # with this option, though not without
    assert (tags["name"], entry.tags()["unbiased"]) == ("reinforce", True)
    assert record == {
        "schema": 2,
        "cell": cell.id,
        "status": "ok",
        "reason": None,
        "traceback": None,
        "seconds": 2.5,
        "config": cell.resolved(),
        "measurements": {"threads": [3]},
        "provenance": {"of": ("InputDependent", "cuda")},
    }


@pytest.mark.parametrize("failure", [None, RuntimeError("no such luck"), KeyboardInterrupt()])
def test_matmul_precision_is_set_for_a_cell_and_then_as_before(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException | None
) -> None:
    """Seen by the measurement and by provenance; a run that is interrupted leaves none behind either."""
    default, *_ = plan(suite_of()).cells
    high, *_ = plan(suite_of(text='matmul_precision = "high"\n' + SMALL)).cells
    seen = []

    def measured(cell: Cell) -> Record:
        seen.append(torch.get_float32_matmul_precision())
        if failure is not None:
            raise failure
        return {}

    monkeypatch.setattr("bench.run.cell.measure", measured)
    for cell, expected in ((high, "high"), (default, "highest")):
        for before in ("highest", "medium"):
            torch.set_float32_matmul_precision(before)
            try:
                if isinstance(failure, KeyboardInterrupt):
                    with pytest.raises(KeyboardInterrupt):
                        run_cell(cell)
                else:
                    assert run_cell(cell)["provenance"]["matmul_precision"] == expected
                assert torch.get_float32_matmul_precision() == before
            finally:
                torch.set_float32_matmul_precision("highest")
            assert seen.pop() == expected
    assert high.id != default.id and "matmul_precision" not in default.resolved()
    assert high.identity.settings["matmul_precision"] == "high"


OUT_OF_MEMORY = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        ({}, "ok", None),
        ({"diverged": []}, "ok", None),
        ({"diverged": [None, None]}, "ok", None),
        ({"diverged": [7, None]}, "ok", None),
        ({"diverged": [7, 5, 6]}, "diverged", "every seed diverged, the first at step 5"),
        (RuntimeError("no such luck\nsecond line"), "failed", "RuntimeError: no such luck"),
        (BadInput("a value"), "failed", "BadInput: a value"),
        (KeyError("memory"), "failed", "KeyError: 'memory'"),
        (MemoryError("too much\nof it"), "out-of-memory", "MemoryError: too much"),
        (torch.OutOfMemoryError("on a GPU"), "out-of-memory", "OutOfMemoryError: on a GPU"),
        (RuntimeError(f"{OUT_OF_MEMORY}\nmore"), "out-of-memory", f"RuntimeError: {OUT_OF_MEMORY}"),
    ],
)
def test_whatever_goes_wrong_in_a_cell_becomes_its_record(
    monkeypatch: pytest.MonkeyPatch, outcome: Record | Exception, status: str, reason: str | None
) -> None:
    def measured(cell: Cell) -> Record:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr("bench.run.cell.measure", measured)
    record = run_cell(plan(suite_of()).cells[0])
    assert (record["status"], record["reason"]) == (status, reason)
    failed = isinstance(outcome, Exception)
    assert record["measurements"] == ({} if failed else outcome)
    if failed:
        assert record["traceback"].startswith("Traceback (most recent call last):\n")
        assert f"{type(outcome).__name__}: {outcome}\n" in record["traceback"]
        assert "in measured" in record["traceback"]
    else:
        assert record["traceback"] is None


def test_an_interruption_is_no_failure_of_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(cell: Cell) -> Record:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.run.cell.measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_cell(plan(suite_of()).cells[0])


class Watched(Inline):
    """An executor that runs cells backwards, and a run around it that notes what happens when."""

    def __init__(self, store: Store) -> None:
        self.store, self.events = store, list[Any]()

    def __call__(self, cells: Sequence[Cell], run: Callable[[Cell], Record]) -> Iterator[tuple[Cell, Record]]:
        self.events.append("workers start")
        for cell in reversed([*cells]):
            yield cell, run(cell)
        self.events.append("workers end")

    @contextmanager
    def starting(self, cells: list[Cell], kept: int) -> Iterator[None]:
        self.events.append(("starting", [cell.title for cell in cells], kept))
        yield
        self.events.append("over")

    def progress(self, record: Record, cell: Cell) -> None:
        assert self.store.read(cell.id)["measurements"] == record.measurements
        self.events.append(("done", cell.title))


MOMENTS = "moments digits/bernoulli-3/8 "
TRAIN, TIME = "train digits/bernoulli-3/8 ", "time digits/bernoulli-3/8 "
TOYS = ("moments cubic/bernoulli-2 at |logit| 0 ", "moments cubic/bernoulli-2 at |logit| 3 ")


def test_times_are_taken_here_one_after_another_when_no_worker_is_left(tmp_path: Path, instant: list[Cell]) -> None:
    watched = Watched(Store(tmp_path))
    outcome = run_suite(
        suite_of("rloo", "arm"), tmp_path, executor=watched, progress=watched.progress, starting=watched.starting
    )
    others = [f"{title}{name}" for title in (*TOYS, MOMENTS, TRAIN) for name in ("rloo", "arm")]
    others[-2:] = [f"{title}, learning rate 0.001" for title in others[-2:]]
    others[:4] = [f"{TOYS[0]}rloo", f"{TOYS[1]}rloo", f"{TOYS[0]}arm", f"{TOYS[1]}arm"]
    times = [f"{TIME}rloo", f"{TIME}arm"]
    assert watched.events == [
        ("starting", others + times, 0),
        "workers start",
        *(("done", title) for title in reversed(others)),
        "workers end",
        *(("done", title) for title in times),
        "over",
    ]
    assert [cell.title for cell in instant] == [*reversed(others), *times]
    assert outcome == Outcome(10, 10, [])
    for number, cell in enumerate(instant, start=1):
        assert Store(tmp_path).read(cell.id)["measurements"]["number"] == number
        assert Store(tmp_path).read(cell.id)["config"] == cell.resolved()


def test_what_is_done_is_skipped_and_what_is_torn_missing_or_of_another_source_is_run(
    tmp_path: Path, instant: list[Cell]
) -> None:
    """What failed is done: its record says so, and --force runs everything again."""
    suite, store = suite_of(), Store(tmp_path)
    run_suite(suite, tmp_path, executor=inline)
    cells = plan(suite).cells
    failed, torn, missing, changed, whole = cells
    store.write(store.read(failed.id) | {"status": "failed", "reason": "luck"})
    store.path(torn.id).write_text(store.path(torn.id).read_text()[:-2])
    store.path(missing.id).unlink()
    record = store.read(changed.id)
    record["provenance"]["estimator_source"] = "another"
    store.write(record)
    config = store.read(whole.id)["config"] | {"threads": 7}
    other = {"cell": cell_id(config), "config": config, "status": "failed", "reason": "luck", "measurements": {}}
    store.write(store.read(whole.id) | other)  # of another suite
    instant.clear()
    watched = Watched(store)
    outcome = run_suite(suite, tmp_path, executor=inline, starting=watched.starting)
    assert [cell.id for cell in instant] == [torn.id, missing.id, changed.id]
    assert watched.events[0][2] == 2
    assert (outcome.done, outcome.fresh) == (5, 3)
    assert [(record.cell, record.reason) for record in outcome.unwell] == [(failed.id, "luck")]

    instant.clear()
    watched.events.clear()
    assert run_suite(suite, tmp_path, executor=inline, starting=watched.starting) == outcome._replace(fresh=0)
    assert (instant, watched.events) == ([], [("starting", [], 5), "over"])
    assert run_suite(suite, tmp_path, executor=inline, force=True, starting=watched.starting) == Outcome(5, 5, [])
    assert instant == cells
    assert watched.events[2][2] == 0


def test_the_source_that_counts_is_each_estimators_own(tmp_path: Path, instant: list[Cell]) -> None:
    suite = suite_of("rloo", "arm", "reinforce", "reinforce[baseline=moving-average]")
    run_suite(suite, tmp_path, executor=inline)
    for record in Store(tmp_path).whole():
        config = record["config"]["estimator"]
        made = registry.get(config["name"]).create(samples=config["samples"], **config["options"])
        assert record["provenance"]["estimator_source"] == source_hash(made)
    sources = {record["provenance"]["estimator_source"] for record in Store(tmp_path).whole()}
    assert len(sources) == 4  # the baseline is a part of an estimator, and lies in a file of its own
    assert run_suite(suite, tmp_path, executor=inline) == Outcome(20, 0, [])


def test_a_folder_holds_the_suite_that_was_run_last(tmp_path: Path, instant: list[Cell]) -> None:
    stale = tmp_path / ".suite.toml.1-0123abcd.tmp"
    stale.write_text("half")
    os.utime(stale, (0, 0))
    for suite in (suite_of(), suite_of("arm", "rloo")):
        run_suite(suite, tmp_path, executor=inline)
        assert parse_suite((tmp_path / "suite.toml").read_bytes(), "suite.toml") == suite
    assert len(list((tmp_path / "cells").iterdir())) == 10
    assert not stale.exists()
    (tmp_path / "suite.toml").unlink()
    run_suite(suite_of(), tmp_path, executor=inline)
    assert len(instant) == 10
    assert parse_suite((tmp_path / "suite.toml").read_bytes(), "suite.toml") == suite_of()


def test_a_cell_whose_worker_died_has_a_record_that_says_so(tmp_path: Path, instant: list[Cell]) -> None:
    def dying(cells: Sequence[Cell], run: Callable[[Cell], Record]) -> Iterator[tuple[Cell, Record | Exception]]:
        for number, cell in enumerate(cells):
            yield cell, RuntimeError("its worker died") if number == 2 else run(cell)

    outcome = run_suite(suite_of(), tmp_path, executor=Executing(dying))
    record = values(*outcome.unwell)
    assert record["config"]["measurement"]["kind"] == "moments"
    assert record["config"]["problem"]["label"] == "digits/bernoulli-3/8"
    assert record["started"].endswith("+00:00")
    assert (record["status"], record["reason"], record["seconds"], record["measurements"]) == (
        "failed",
        "RuntimeError: its worker died",
        0.0,
        {},
    )
    assert (outcome.done, outcome.fresh) == (5, 5)


def test_nothing_is_written_before_device_data_and_estimators_are_looked_at(
    tmp_path: Path, instant: list[Cell], forget: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(name: str) -> None:
        loaded.append(name)
        if name == "omniglot":
            raise bench.datasets.DataError("not here")

    def refused(suite: Suite) -> str:
        with pytest.raises((BadInput, bench.datasets.DataError)) as caught:
            run_suite(suite, tmp_path / "out", executor=inline)
        assert not (tmp_path / "out").exists()
        assert instant == []
        return str(caught.value)

    monkeypatch.setattr(bench.datasets, "load_once", load)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert refused(override(suite_of(), device="cuda")) == (
        "device 'cuda' is not available: torch sees no CUDA GPU here; use --device cpu (gradest doctor)"
    )
    assert loaded == []
    more = ", ".join(f'{{kind = "vae", dataset = "{name}", family = "gaussian", latents = 2}}'
                     for name in ("omniglot", "mnist-static", "caltech-silhouettes"))  # fmt: skip
    text = SMALL.replace("problems = [", f"problems = [\n    {more},")
    assert refused(suite_of("rloo", text=text)) == "not here"
    assert loaded == ["caltech-silhouettes", "digits", "mnist-static", "omniglot"]

    @register("forgetful", families=("bernoulli", "gaussian"), unbiased=True)
    class Forgetful(Estimator):
        seen: ClassVar[list[str]] = []

        def forward(self, q: Any, f: Any, *, generator: Any = None, context: Any = None) -> Any:
            self.seen.append(f"{type(q).__name__} {list(q.mean.shape)}")
            estimate = registry.get("reinforce").create()(q, f, generator=generator)
            if isinstance(q, torch.distributions.Normal):
                return estimate._replace(surrogate=estimate.surrogate.sum())
            return estimate

    fine = suite_of("forgetful")
    prepare(fine, plan(fine))
    assert Forgetful.seen == ["Bernoulli [2, 2]"]
    gaussian = suite_of("forgetful", text=text.replace("omniglot", "digits").replace("latents = 2}", "latents = 2}", 1))
    message = refused(gaussian)
    assert message.startswith("estimator 'forgetful': ")
    assert "surrogate is [], expected [2]" in message
    assert message.endswith(" (estimators/base.py has the contract)")


def test_a_runner_of_another_suite_that_began_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command looks before it loads data and tries estimators, which may take minutes."""
    other = 'name = "other"\n'
    monkeypatch.setattr(runner, "prepare", lambda *_, **__: (tmp_path / "suite.toml").write_text(other))
    with pytest.raises(BadInput, match="holds a run of suite 'other', not 'small'; choose another folder"):
        run_suite(suite_of(), tmp_path, executor=inline)
    assert [path.name for path in tmp_path.iterdir()] == ["suite.toml"]
    assert (tmp_path / "suite.toml").read_text() == other


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "categorical"])
def test_an_estimator_is_tried_on_a_q_of_two_rows(family: str, forget: None) -> None:
    """What goes wrong then, but for the contract, belongs to a cell."""
    shapes: list[list[tuple[int, ...]]] = []

    @register("curious", families=(family,), unbiased=True)
    class Curious(Estimator):
        def forward(self, q: Any, f: Any, *, generator: Any = None, context: Any = None) -> Any:
            names = ("loc", "scale") if family == "gaussian" else ("logits",)
            shapes.append([tuple(getattr(q, name).shape) for name in names])
            raise RuntimeError("no such luck")

    sweep = "scales = [1]" if family == "gaussian" else "logits = [1]"
    size = "categories = 5, " if family == "categorical" else ""
    suite = parse_suite(
        f"""
        name = "toys"
        problems = [{{kind = "toy", objective = "cubic", family = "{family}", {size}{sweep}}}]
        estimators = ["curious"]
        [moments]
        """.encode(),
        "toys.toml",
    )
    prepare(suite, plan(suite))
    expected = {"gaussian": [(2, 2), (2, 2)], "bernoulli": [(2, 2)], "categorical": [(2, 2, 3)]}
    assert shapes == [expected[family]]


def test_inline_runs_each_cell_when_it_is_asked_for_and_in_order() -> None:
    cells, seen = plan(suite_of()).cells, []

    def noted(cell: Cell) -> Record:
        seen.append(cell.id)
        return {"of": cell.id}

    results = inline(cells, noted)
    assert seen == []
    assert next(results) == (cells[0], {"of": cells[0].id})
    assert seen == [cells[0].id]
    assert list(results) == [(cell, {"of": cell.id}) for cell in cells[1:]]


def test_without_dask_workers_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("distributed", "bench.run.executors."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadInput) as caught:
        executor_for(Asked(workers=2))
    assert str(caught.value) == (
        "--workers above 1 needs dask.distributed: pip install -c constraints.txt -e '.[cluster]'"
    )


def test_records_are_written_as_they_come(tmp_path: Path, instant: list[Cell]) -> None:
    """A run that is killed keeps what was done."""

    class Interrupted(Inline):
        def __call__(self, cells: Iterable[Cell], run: Run) -> Results:
            yield from islice(inline(cells, run), 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_suite(suite_of(), tmp_path, executor=Interrupted())
    cells = plan(suite_of()).cells
    assert {path.stem for path in (tmp_path / "cells").iterdir()} == {cell.id for cell in cells[:2]}
    assert all(json.loads(path.read_text())["status"] == "ok" for path in (tmp_path / "cells").iterdir())
    assert run_suite(suite_of(), tmp_path, executor=inline).fresh == 3


def test_a_record_of_a_failure_needs_no_measurement() -> None:
    cell = plan(suite_of()).cells[0]
    record = make_record(cell, {}, ValueError("x"), datetime(2026, 1, 2, 3, 4, 5, 678900, UTC), 4.0)
    assert (record["started"], record["seconds"], record["traceback"]) == (
        "2026-01-02T03:04:05.678+00:00",
        4.0,
        "ValueError: x\n",
    )


def test_an_estimator_is_constructed_once_to_be_looked_at_and_once_a_cell(tmp_path: Path, forget: None) -> None:
    made: list[int] = []

    @register("counted", families=("bernoulli",), unbiased=True)
    class Counted(Estimator):
        def __init__(self, samples: int = 1) -> None:
            super().__init__(samples)
            made.append(samples)

        def forward(self, q: Any, f: Any, *, generator: Any = None, context: Any = None) -> Any:
            return registry.get("reinforce").create()(q, f, generator=generator)

    suite = suite_of("counted")
    assert plan(suite) == plan(suite)
    assert made == [2]
    for force, total in ((False, 6), (False, 6), (True, 11)):
        run_suite(suite, tmp_path, executor=inline, force=force)
        assert len(made) == total
