"""Paths that are typed: an empty one is refused wherever one is taken, and a run's folder stays where it was named."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import typer.main

from bench.cli import VERBS, app
from bench.run import claims
from bench.run.executors import inline
from bench.run.runner import run_suite
from bench.suite.load import override, parse_suite
from estimators import Estimate, Estimator, register
from estimators.distributions import log_prob, sample, stopped
from tests.bench.command import Done
from tests.bench.plain import Store
from tests.bench.processes import forked

WORDS = {"run": ["small.toml"], "recommend": ["bernoulli[latents=2]"], "report": ["runs"], "compare": ["a", "b"]}
"""What a verb must be given beside the path; its own arguments are replaced by an empty one each."""


def _takes_a_path(kind: object) -> bool:
    return kind is Path or any(map(_takes_a_path, get_args(kind)))


def _empty() -> Iterator[list[str]]:
    """Every command line with an empty path in the place of one that a verb takes."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for verb, function in VERBS.items():
        kinds = get_type_hints(function)
        arguments = [one.name for one in commands[verb].params if one.param_type_name == "argument"]
        for one in commands[verb].params:
            if _takes_a_path(kinds.get(one.name)):
                words = list(WORDS.get(verb, [""]))
                if one.name in arguments:
                    words[arguments.index(one.name)] = ""
                    yield [verb, *words]
                else:
                    yield [verb, *words, one.opts[0], ""]


EMPTY = [*_empty()]


def test_the_walk_finds_what_takes_a_path() -> None:
    assert len(EMPTY) == 8
    assert ["run", "small.toml", "--out", ""] in EMPTY
    assert ["compare", "a", ""] in EMPTY


@pytest.mark.parametrize("arguments", EMPTY, ids=" ".join)
def test_an_empty_path_is_not_the_folder_that_one_is_in(
    gradest: Callable[..., Done], tmp_path: Path, arguments: list[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = gradest(*arguments)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert "expected the path of a file or a folder, got an empty one; the folder you are in is '.'" in line
    assert sorted(tmp_path.rglob("*")) == before


TOY = """
name = "small"
estimators = ["rloo"]
problems = [{kind = "toy", objective = "cubic", family = "bernoulli", latents = 2, logits = [0, 3]}]

[moments]
draws = 40
"""

WANDER = """
import os

from estimators import Estimate, Estimator, register
from estimators.distributions import log_prob, sample, stopped

os.chdir("elsewhere")


@register("wander", families=("bernoulli",), unbiased=True)
class Wander(Estimator):
    def __init__(self, samples=1):
        super().__init__(samples)
        os.chdir(FOLDER)

    def estimate(self, q, f, noise):
        os.chdir(FOLDER)
        with open(os.path.join(FOLDER, "calls"), "a") as calls:
            calls.write(".")
            if calls.tell() == 2:  # the first call of the first cell; the second try is in a process of its own
                raise MemoryError
        z = sample(q, self.samples, noise)
        value = f(z, stopped(q)).detach()
        return Estimate((value * log_prob(q, z)).mean(0), value.mean(0))
"""


def test_code_that_goes_to_another_folder_takes_nothing_of_the_run_with_it(tmp_path: Path) -> None:
    """As it is imported, made and called, in the runner's process and in one of its own."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "small.toml").write_text(TOY)
    (tmp_path / "wander.py").write_text(WANDER.replace("FOLDER", repr(str(elsewhere))))
    done = forked("bench", "run", "small.toml", "-e", "wander:Wander", "--out", "a/b", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "report: a/b/report.html"
    assert "it is tried once more, last and in a process of its own" in done.stderr
    assert [one.name for one in elsewhere.iterdir()] == ["calls"]
    assert sorted(record.get("attempts", 1) for record in Store(tmp_path / "a" / "b").records()) == [1, 2]
    assert {one.name for one in (tmp_path / "a" / "b").iterdir()} >= {"cells", "suite.toml", "plan.json", "report.html"}
    assert not (tmp_path / "a" / "b" / "claims").exists()

    (damaged, *_) = (tmp_path / "a" / "b" / "cells").iterdir()
    damaged.write_text("{")
    done = forked("bench", "run", "small.toml", "-e", "wander:Wander", "--out", "a/b", cwd=tmp_path)
    assert f"damaged: a/b/cells/{damaged.name} " in done.stderr
    assert done.stdout.splitlines()[-1] == "report: a/b/report.html"


def test_a_heart_beats_where_the_run_was_named_while_a_cell_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: None
) -> None:
    elsewhere, beats = tmp_path / "elsewhere", list[bool]()
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(claims, "BEAT", 0.005)

    @register("strays", families=("bernoulli",), unbiased=True)
    class Strays(Estimator):
        def estimate(self, q, f, noise):
            os.chdir(elsewhere)
            for heart in (tmp_path / "run" / "claims").glob("runner-*.json"):  # of this runner, once it has begun
                beat, until = heart.stat().st_mtime_ns, time.monotonic() + 60
                while not beats and heart.stat().st_mtime_ns == beat and time.monotonic() < until:
                    time.sleep(0.001)
                beats.append(heart.stat().st_mtime_ns > beat)
            z = sample(q, self.samples, noise)
            value = f(z, stopped(q)).detach()
            return Estimate((value * log_prob(q, z)).mean(0), value.mean(0))

    suite = override(parse_suite(TOY.encode(), "small.toml"), estimators=["strays"])
    outcome = run_suite(suite, Path("run"), executor=inline)
    assert (outcome.fresh, outcome.unwell) == (2, [])
    assert beats[0]
    assert Path.cwd() == tmp_path
    assert [*elsewhere.iterdir()] == []
    assert len(Store(tmp_path / "run").records()) == 2
