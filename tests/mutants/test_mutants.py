"""The tool that plants faults: what it reads of mutmut, how it draws, and what it writes."""

import importlib
from pathlib import Path

import pytest

from tests.mutants.planting import CHECKOUT, Area, Mutant, areas, plant, sample, statuses
from tests.mutants.scores import Score, as_markdown, equivalents, score

SURVIVOR = Mutant("bench.seeds.x_seed__mutmut_3", "survived", "-    return a + b\n+    return a - b")
METHOD = Mutant(
    "bench.report.compare.pairs.xǁPairǁdiffer__mutmut_13", "no tests", "-    x = 1\n-    y = 2\n+    x = 2\n+    y = 2"
)
CRASHED = Mutant("bench.run.store.x_write_atomic__mutmut_1", "segfault")


def test_names_tell_module_and_function() -> None:
    assert [(m.module, m.function, m.line) for m in (SURVIVOR, METHOD, CRASHED)] == [
        ("bench.seeds", "bench.seeds.seed", "return a - b"),
        ("bench.report.compare.pairs", "bench.report.compare.pairs.Pair.differ", "x = 2\ny = 2"),
        ("bench.run.store", "bench.run.store.write_atomic", ""),
    ]
    assert Mutant("bench.seeds.x__private__mutmut_10", "killed").function == "bench.seeds._private"
    with pytest.raises(ValueError, match=r"'bench\.seeds' is no name of a mutant"):
        _ = Mutant("bench.seeds", "killed").function


def test_statuses_are_read_line_by_line() -> None:
    printed = "some words\n    a.x_f__mutmut_1: killed\n    a.xǁCǁf__mutmut_12: caught by type check\n"
    assert statuses(printed) == {"a.x_f__mutmut_1": "killed", "a.xǁCǁf__mutmut_12": "caught by type check"}


def test_a_sample_is_shared_out_among_modules_and_repeats() -> None:
    names = [f"a.x_f__mutmut_{i}" for i in range(60)] + [f"b.x_f__mutmut_{i}" for i in range(39)]
    names += ["c.x_f__mutmut_0"]
    drawn = sample(names, 20, seed=7)
    assert len(set(drawn)) == len(drawn)
    assert [sum(name.startswith(module) for name in drawn) for module in "abc"] == [12, 8, 1]
    assert sample(reversed(names), 20, seed=7) == drawn
    assert sample(names, 20, seed=8) != drawn
    assert sorted(sample(names, 1000, seed=7)) == sorted(names)


def test_scores_leave_out_what_changes_nothing() -> None:
    mutants = [SURVIVOR, METHOD, CRASHED, Mutant("a.x_f__mutmut_1", "killed"), Mutant("a.x_f__mutmut_2", "timeout")]
    assert score(mutants, {}) == Score(killed=3, counted=5, equivalent=0)
    assert score(mutants, {("bench.seeds.seed", "return a - b"): "b is 0"}) == Score(3, 4, 1)
    assert score(mutants, {("bench.other.seed", "return a - b"): "b is 0"}) == Score(3, 5, 0)
    # Wilson, z = 1.96, 3 of 4: (3 + 1.92) / (4 + 3.84) -+ 1.96 sqrt(3 / 16 * 4 + 0.96) / (4 + 3.84)
    assert str(Score(3, 4, 1)) == "75.0% [30.1%, 95.4%]"
    assert str(Score(0, 0, 2)) == "none that changes something"


def test_the_page_holds_scores_and_survivors() -> None:
    area = Area("suite and run", ["bench/seeds.py"], ["tests"], 0.85, 9)
    same = {("bench.seeds.seed", "return a - b"): "b is 0."}
    page = as_markdown([(area, 40, [CRASHED, METHOD, SURVIVOR])], same, "Made today.")
    assert "Made today. A mutant is" in page
    assert "| suite and run | 40 | 3 | 1 | 1 | 50.0% [9.5%, 90.5%] | 85% |" in page
    assert "| `bench.report.compare.pairs` | 1 | 0 | 0 | 0.0% [0.0%, 79.3%] |" in page
    assert "| `bench.seeds` | 1 | 1 | 0 | none that changes something |" in page
    survivors = page.partition("## Survivors\n")[2]
    assert survivors == (
        "\n### Suite and run\n\n"
        "`bench.report.compare.pairs.Pair.differ`: no test sees it. No test runs this function.\n\n"
        "```diff\n-    x = 1\n-    y = 2\n+    x = 2\n+    y = 2\n```\n\n"
        "`bench.seeds.seed`: b is 0.\n\n```diff\n-    return a + b\n+    return a - b\n```\n"
    )
    assert as_markdown([(area, 40, [CRASHED])], same, "").endswith("## Survivors\n\nNone.\n")


def test_every_area_has_its_sources_and_tests() -> None:
    seen: set[Path] = set()
    for area in areas():
        files = set(area.files)
        assert all(list(CHECKOUT.glob(glob)) for glob in area.sources), area.name
        assert all((CHECKOUT / test).exists() for test in area.tests), area.name
        assert not files & seen, area.name
        seen |= files


def test_what_is_listed_as_changing_nothing_is_still_there() -> None:
    for (function, line), why in equivalents().items():
        parts = function.split(".")
        split = next(i for i in range(len(parts), 0, -1) if (CHECKOUT / Path(*parts[:i])).with_suffix(".py").exists())
        owner = importlib.import_module(".".join(parts[:split]))
        for name in parts[split:]:
            owner = getattr(owner, name)
        assert line
        assert why.endswith("."), function


def test_planted_faults_are_seen(tmp_path: Path) -> None:
    pytest.importorskip("mutmut")
    area = Area("mutants", ["bench/suite/toml.py"], ["tests/bench/test_suite.py"], 0.85, 3)
    number, mutants = plant(area, tmp_path, seed=0, processes=1)
    assert number > len(mutants) == 3
    assert all(mutant.module == "bench.suite.toml" for mutant in mutants)
    assert any(mutant.status == "killed" for mutant in mutants)
    with pytest.raises(RuntimeError, match=r"nothing: no mutants of bench/py\.typed"):
        plant(Area("nothing", ["bench/py.typed"], [], 0.9, 1), tmp_path / "other", seed=0, processes=1)
