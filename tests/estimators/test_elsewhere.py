"""Draws from generators that nobody handed over are seen, those of other threads are not."""

import cProfile
import importlib
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.training.noise import Noted
from estimators.elsewhere import Elsewhere

own = random.Random(0)
DRAWING: dict[str, tuple[str, Callable[[], object]]] = {
    "random": ("random", random.random),
    "by its name alone": ("random", lambda: random.uniform(0, 1)),
    "a choice": ("random", lambda: random.choice([1, 2, 3])),
    "a shuffle": ("random", lambda: random.shuffle([1, 2, 3])),
    "a normal number": ("random", lambda: random.gauss(0, 1)),
    "bytes": ("random", lambda: random.randbytes(4)),
    "a generator of one's own": ("random", lambda: own.random()),
    "numpy": ("numpy", lambda: np.random.rand()),
    "numpy's choice": ("numpy", lambda: np.random.choice([1, 2])),
}


@pytest.mark.parametrize("case", DRAWING)
def test_what_this_thread_draws_is_seen(case: str) -> None:
    """Whatever function takes the numbers."""
    module, draw = DRAWING[case]
    with Elsewhere() as elsewhere:
        (lambda: draw())()
    assert elsewhere.found == module


def test_what_a_module_draws_while_it_is_imported_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some first gradient makes torch import sympy, which draws: who took it was refuted, and nobody after."""
    (tmp_path / "drawing_module.py").write_text("import random\n\nnumber = random.random()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Elsewhere() as elsewhere:
        module = importlib.import_module("drawing_module")
    monkeypatch.delitem(sys.modules, "drawing_module")
    assert elsewhere.found is None
    with Elsewhere() as elsewhere:
        module.random.random()
    assert elsewhere.found == "random"


def _draw_without_end(until: threading.Event, drew: threading.Event) -> None:
    while not until.is_set():
        random.random()
        drew.set()


def test_what_other_threads_draw_is_not() -> None:
    """The loop of a dask worker draws twice a second: a step was called random by chance, and was not compiled."""
    until, drew = threading.Event(), threading.Event()
    other = threading.Thread(target=_draw_without_end, args=(until, drew))
    other.start()
    try:
        assert drew.wait(10)
        before = random.getstate()
        with Noted() as noted:
            for _ in range(1000):
                torch.rand(3, generator=torch.Generator())
            drew.clear()
            assert drew.wait(10)
        assert random.getstate() != before
        with Elsewhere() as elsewhere:
            drew.clear()
            assert drew.wait(10)
    finally:
        until.set()
        other.join()
    assert len(noted.draws) == 1000
    assert elsewhere.found is None


def test_seeding_and_states_are_no_draws() -> None:
    """Who only looks at a generator takes no number from it."""
    with Elsewhere() as elsewhere:
        random.setstate(random.getstate())
    assert elsewhere.found is None


def test_a_profiler_at_work_stays() -> None:
    """States must do then, and the profiler sees what it would have seen."""
    with cProfile.Profile() as profile:
        there = sys.getprofile()
        with Elsewhere() as elsewhere:
            random.random()
        assert sys.getprofile() is there
        with Elsewhere() as nothing:
            pass
    assert elsewhere.found == "random"
    assert nothing.found is None
    assert profile.getstats()


def test_the_hook_is_taken_away() -> None:
    """Also where the code within fails."""
    with pytest.raises(ZeroDivisionError), Elsewhere():
        _ = 1 / 0
    assert sys.getprofile() is None


def test_numpy_s_generator_is_seen_by_its_place_too() -> None:
    """A draw moves its place among the numbers that it has made, and leaves these as they are."""
    before = np.random.get_state()
    try:
        np.random.seed(3)
        np.random.random()
        with Elsewhere() as elsewhere:
            np.random.random()
    finally:
        np.random.set_state(before)
    assert elsewhere.found == "numpy"


def test_without_numpy_there_is_nothing_to_draw_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy")
    with Elsewhere() as elsewhere:
        random.random()
    assert elsewhere.found == "random"
