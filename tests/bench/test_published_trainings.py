"""Published bounds of trainings: the hash of a protocol, the tables, and what a report says beside records."""

import copy
import csv
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import estimators
from bench.published import AGREES, CANNOT_TELL, DIFFERS, judge, trained
from bench.published.judge import Number
from bench.published.trained import (
    PROTOCOLS,
    TRAININGS,
    TrainedTable,
    published,
    same_rate,
    trained_tables,
)
from bench.records.identity import Identity, cell_id
from bench.report.output import write
from bench.report.selection import Selection
from bench.report.summary import summarise
from bench.run.executors import inline
from bench.run.runner import run_suite
from bench.statistics import mean_interval
from bench.studies.protocols import made
from bench.suite.load import load_suite, parse_suite
from bench.suite.plan import plan
from estimators import BadInput
from tests.bench.command import Done
from tests.bench.plain import Store
from tests.bench.records import Made, Record, quick, record

RESULTS = Path(__file__).parents[2] / "results"
SUITE = """
name = "tiny"
seeds = 2
problems = [
    {kind = "vae", label = "linear", dataset = "digits", family = "bernoulli", latents = 2, prior = "learned"},
    {kind = "vae", label = "deep", dataset = "digits", family = "bernoulli", latents = 2, architecture = [3]},
]
estimators = ["rloo[samples=2]", "rebar[temperature=0.5]"]

[training]
steps = 4
batch = 10

[elbo]
learning_rates = [0.01, 0.03]
grow = 0
evaluations = 2
evaluation_rows = 20
evaluation_samples = 1
iwae_samples = 2
"""
TABLE = """title = "ELBO on digits"
suite = "tiny.toml"
bound = "train_elbo"
negative = true
steps = 4
rates = [0.01, 0.03]
spread = "standard deviation"
seeds = 5
remarks = ["Theirs is of <b>ten</b> & more_rows."]
cells = [
  {problem = "linear", estimator = "LOO & co", rate = 0.03, value = 40.5, spread = 0.4},
  {problem = "deep", estimator = "REBAR", rate = 0.01, value = 41.0, spread = 0.2},
]

[source]
paper = "A paper"
authors = "Some & Body"
year = 2021
venue = "a_conference"
place = "table 1"
read = "printed"
resolution = "one decimal"
spread = "standard deviation over seeds"

[estimators]
"LOO & co" = "rloo[samples=2]"
REBAR = "rebar[temperature=0.5]"

[error]
absolute = 0.05

[matters]
absolute = 1.0
"""
LINEAR_RLOO = ("linear", "rloo[samples=2]")


def config(text: str = SUITE, problem: str = "linear", estimator: str = "rloo[samples=2]") -> dict[str, Any]:
    """A training's configuration, as its record has it: that of the first learning rate."""
    for cell in plan(parse_suite(text.encode(), "tiny.toml")).cells:
        if (cell.problem.label, cell.estimator.label) == (problem, estimator):
            return cell.resolved()
    raise LookupError(problem, estimator)


def protocol(values: dict[str, Any]) -> str | None:
    return Identity.model_validate(values).protocol


# The hash of a protocol.


def leaves(values: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(values, dict) and values:
        for key, inner in values.items():
            yield from leaves(inner, *path, key)
    else:
        yield path, values


FREE = {
    "device", "threads", "problem.label", "estimator.label", "measurement.seeds", "measurement.evaluations",
    "measurement.optimisation.steps", "measurement.optimisation.learning_rate",
}  # fmt: skip


def changed(values: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    copied = copy.deepcopy(values)
    inner = copied
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copied


def test_of_a_written_configuration_each_value_decides_the_protocol_but_those_that_are_free() -> None:
    values = config(estimator="rebar[temperature=0.5]")
    seen = {".".join(path) for path, _ in leaves(values)}
    assert seen > FREE
    assert seen >= {"problem.latents", "estimator.samples", "estimator.options.temperature", "problem.architecture"}
    assert seen >= {"measurement.evaluation_rows", "measurement.optimisation.own_learning_rate", "problem.prior"}
    for path, value in leaves(values):
        name = ".".join(path)
        if name == "measurement.kind":
            assert protocol(changed(values, path, "moments")) is None
            continue
        other = value + 1 if isinstance(value, int | float) else "another"
        assert (protocol(changed(values, path, other)) == protocol(values)) == (name in FREE), name


@pytest.mark.parametrize(
    ("where", "line", "free"),
    [
        ("[training]", "betas = [0.9, 0.99999]", False),
        ("[training]", "epsilon = 1e-4", False),
        ("[training]", "own_betas = [0.9, 0.99999]", False),
        ("[training]", "weight_decay = 0.01", False),
        ("[training]", 'schedule = "cosine"', False),
        ("[training]", "warm_up = 2", False),
        ("[training]", 'optimiser = "radam"', False),
        ("[training]", "prior_learning_rate = 0.5", False),
        ("[training]", "compile = false", True),
        ("[elbo]", "target = -30.0", True),
        ('name = "tiny"', 'device = "cuda"', True),
        ('name = "tiny"', "threads = 2", True),
        ('name = "tiny"', 'matmul_precision = "high"', True),
        ("problem", "decoder = [7]", False),
        ("problem", 'activation = "tanh"', False),
        ("problem", "kl_weight = 0.5", False),
        ("problem", "kl_warm_up = 3", False),
        ("problem", 'initialisation = "glorot"', False),
    ],
)
def test_settings_that_came_later_decide_it_too(where: str, line: str, free: bool) -> None:
    """They are written only where they are not the default."""
    deep = '{kind = "vae", label = "deep"'
    changes = (deep, deep.replace("{", f"{{{line}, ")) if where == "problem" else (where, f"{where}\n{line}")
    before, after = (config(text, problem="deep") for text in (SUITE, SUITE.replace(*changes, 1)))
    assert after != before
    assert (protocol(after) == protocol(before)) == free


def test_what_means_the_same_has_one_hash() -> None:
    """Defaults that are given, numbers with and without a point, and a rate that follows from another."""
    given = SUITE.replace("[training]", '[training]\nbetas = [0.9, 0.999]\nschedule = "constant"\ncompile = "auto"')
    given = given.replace("{kind", '{kl_weight = 1, activation = "leaky-relu", embedding = "one-hot", kind')
    assert protocol(config(given)) == protocol(config())
    whole = [config(SUITE.replace("=0.5]", f"={typed}]"), estimator=f"rebar[temperature={typed}]")
             for typed in ("1", "1.0")]  # fmt: skip
    assert protocol(whole[0]) == protocol(whole[1]) != protocol(config(estimator="rebar[temperature=0.5]"))

    ratio = SUITE.replace("[training]", "[training]\nown_rate_ratio = 10")
    cells = plan(parse_suite(ratio.encode(), "tiny.toml")).cells
    linear = [cell for cell in cells if (cell.problem.label, cell.estimator.label) == LINEAR_RLOO]
    assert len({cell.measurement.model_dump()["optimisation"]["own_learning_rate"] for cell in linear}) == 2
    assert len({cell.identity.protocol for cell in linear} | {protocol(config())}) == 2


@pytest.mark.parametrize("optimisation", ["text", [1], None, {"own_rate_ratio": 2}])
def test_a_record_whose_training_is_no_table_has_a_hash_too(optimisation: Any) -> None:
    odd = changed(config(), ("measurement", "optimisation"), optimisation)
    assert protocol(odd) not in (None, protocol(config()))


def test_records_of_before_the_newer_settings_have_the_hash_of_what_their_suite_says_now() -> None:
    """All rates of an estimator have one protocol, whichever release wrote the record."""
    suite = load_suite("mnist-linear-elbo")
    now = {cell.estimator.label: cell.identity.protocol for cell in plan(suite).cells}
    records = [one["config"] for one in Store(RESULTS / "mnist-linear-elbo").records()]
    assert len(records) > len(now) > 20
    assert {one["estimator"]["label"]: protocol(one) for one in records} == now
    assert len(set(now.values())) == len(now)


# The tables.


WRONG = {
    ("steps = 4", "steps = 4\npages = 3"): "unknown key 'pages'; leave it out",
    ('bound = "train_elbo"', 'bound = "elbo"'): "bound: Input should be 'train_elbo', 'test_elbo' or 'test_iwae'",
    ('bound = "train_elbo"', 'bound = "test_iwae"\nbest = true'): "a curve has no test_iwae",
    ("seeds = 5", "seeds = 1"): "a standard deviation is one of two seeds or more",
    ('estimator = "REBAR"', 'estimator = "RELAX"'): "cell 2 (RELAX on deep): its estimator is not among [estimators]",
    ("value = 40.5, spread = 0.4", "value = 40.5"): "cell 1 (LOO & co on linear): give every cell a spread",
    ("rate = 0.03, ", "rate = 0.02, "): "its rate 0.02 is none of rates",
    ("rates = [0.01, 0.03]\n", ""): "",
    ("rate = 0.03, value = 40.5", "value = 40.5"): "",
    ('problem = "deep", estimator = "REBAR"', 'problem = "linear", estimator = "LOO & co"'): "stands there twice",
    ("[matters]\nabsolute = 1.0", "[matters]"): "nothing would matter",
}


def folder(path: Path, table: str = TABLE, suite: str = SUITE) -> Path:
    """A folder of one table with its suite and the protocols of its cells."""
    path.mkdir(exist_ok=True)
    (path / "a.toml").write_text(table)
    (path / "beside").mkdir(exist_ok=True)
    (path / "beside" / "tiny.toml").write_text(suite)
    return path


def in_folder(path: Path, table: str = TABLE, suite: str = SUITE) -> Path:
    """The same with its protocols."""
    where = folder(path, table.replace("tiny.toml", "beside/tiny.toml"), suite)
    (where / PROTOCOLS).write_text(made(where))
    return where


@pytest.mark.parametrize(("change", "said"), WRONG.items())
def test_a_wrong_table_is_one_line(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    assert change[0] in TABLE
    where = folder(tmp_path / "a", TABLE.replace(*change, 1))
    if not said:  # a rate, or the rates of which it is the best
        assert trained_tables(where)
        return
    with pytest.raises(BadInput) as caught:
        trained_tables(where)
    assert str(caught.value).startswith("a.toml: ") and said in str(caught.value) and "\n" not in str(caught.value)


def test_a_table_says_a_rate_or_the_rates_of_which_it_is_the_best(tmp_path: Path) -> None:
    neither = TABLE.replace("rates = [0.01, 0.03]\n", "").replace("rate = 0.03, ", "")
    with pytest.raises(BadInput, match="give its rate, or the rates"):
        trained_tables(folder(tmp_path / "a", neither))


def test_a_number_has_our_sign_and_the_error_of_its_mean(tmp_path: Path) -> None:
    (of,) = trained_tables(folder(tmp_path / "a")).values()
    assert of.number(of.cells[0]) == Number(-40.5, 0.05, 0.4 / math.sqrt(5), 5)
    error = TrainedTable.model_validate(of.model_dump() | {"spread": "standard error", "negative": False})
    assert error.number(error.cells[0]) == Number(40.5, 0.05, 0.4, 5)
    cells = [cell.model_dump() | {"spread": None, "error": {"absolute": 0.5}} for cell in of.cells]
    none = TrainedTable.model_validate(of.model_dump() | {"spread": "none", "cells": cells})
    assert none.number(none.cells[0]) == Number(-40.5, 0.5, None)


def test_rates_are_the_same_in_three_digits() -> None:
    assert same_rate(3.16228e-3, 0.00316) and not same_rate(0.00316, 0.00317)


def test_all_tables_of_the_package_are_whole() -> None:
    known = trained_tables()
    assert {"hooper", "hooper-int", "relax"} <= set(known)
    for name, of in known.items():
        for label in of.estimators.values():
            assert estimators.create(label), (name, label)
        assert {cell.estimator for cell in of.cells} == set(of.estimators), name
        assert all(of.number(cell).value < 0 for cell in of.cells), f"{name}: a bound in nats of binary images"
    grey = {(cell.problem, cell.estimator): known["hooper"].number(cell).value for cell in known["hooper"].cells}
    assert grey["mnist-grey/8x64", "ReinMax 1.2"] == -93.73
    assert len(set(grey)) == 18


def test_the_protocols_of_the_package_are_those_of_its_suites() -> None:
    """`python -m bench.studies.protocols bench/published/trainings` writes them anew where this fails."""
    assert (TRAININGS / PROTOCOLS).read_text() == made(TRAININGS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("steps = 4", "steps = 8"), "LOO & co on linear: suite tiny trains for 4 steps, and the table says 8"),
        (
            ("rates = [0.01, 0.03]", "rates = [0.01, 0.03, 0.1]"),
            "suite tiny has no learning rate 0.1: it has 0.01, 0.03",
        ),
        (('"linear"', '"linea"'), "unknown problem of suite tiny: 'linea'; did you mean 'linear'?"),
        (("=0.5]", "=0.7]"), "unknown estimator of suite tiny: 'rebar[temperature=0.7]'"),
        (("tiny.toml", "small.toml"), "a.toml: suite: "),
    ],
)
def test_a_table_that_its_suite_does_not_go_with_is_one_line(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        in_folder(tmp_path / "a", TABLE.replace(*change, 1))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_cell_of_several_protocols_is_refused(tmp_path: Path) -> None:
    several = SUITE.replace('"rloo[samples=2]"', '"rloo"').replace("seeds = 2", "seeds = 2\nf_evals = [2, 4]")
    with pytest.raises(BadInput, match="of several protocols"):
        in_folder(tmp_path / "a", TABLE.replace("rloo[samples=2]", "rloo"), several)


# What a report says.


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the one table that reports know."""
    found = in_folder(tmp_path / "tables")
    monkeypatch.setattr(trained, "TRAININGS", found)
    return found


def training(
    ends: Sequence[float | None], rate: float = 0.03, steps: int = 4, cell: tuple[str, str] = LINEAR_RLOO
) -> Record:
    """A record of a cell of the suite whose train ELBO ends so, from a curve that was half a nat higher before."""
    values = config(problem=cell[0], estimator=cell[1])
    optimisation = values["measurement"]["optimisation"] | {"learning_rate": rate, "steps": steps}
    values["measurement"] |= {"optimisation": optimisation, "seeds": len(ends)}
    curve = [[None if end is None else end + 0.5 * i for end in ends] for i in (-8, 1, 0)]
    on_test = [[None if end is None else end - 7 for end in row] for row in curve]
    measured = {
        "seeds": [*range(len(ends))],
        "diverged": [None if end is not None else steps for end in ends],
        "rows_per_step": 10,
        "evaluated_rows": {"train": 20, "test": 20},
        "curve": {"step": [0, steps // 2, steps], "f_evals": [0, 1, 2], "seconds": [0.0, 1.0, 2.0]}
        | {"train_elbo": curve, "test_elbo": on_test},
        "final": {"train_elbo": curve[-1], "test_elbo": on_test[-1], "test_iwae": on_test[-1], "iwae_samples": 2},
    }
    found = record({"kind": "train"}, {}, Made(cell[1], 2, True, 1.0, 0.0, 1.0), measured)
    return found | {"config": values, "cell": cell_id(values)}


ENDS = (-40.2, -40.6, -40.9, -40.4, -40.1)


def rows(*records: Record) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()}
            for row in summarise(records).published.to_dict("records")]  # fmt: skip


def test_a_bound_of_all_steps_and_the_published_rate_is_judged(tables: Path) -> None:
    (row,) = rows(training(ENDS), training([-30.0] * 5, rate=0.01))
    expected = judge(Number(-40.5, 0.05, 0.4 / math.sqrt(5), 5), of_seeds(ENDS), 1.0)
    assert (row["verdict"], row["why"], row["rates"]) == (AGREES, "", 2) and expected.verdict == AGREES
    assert (row["difference"], row["reach"]) == (expected.difference, expected.reach)
    ends = (row["ours"], row["ours_low"], row["ours_high"])
    assert ends == mean_interval(ENDS), "not that of the other rate, though it is higher"
    assert (row["published"], row["published_seeds"], row["seeds"], row["steps"]) == (-40.5, 5, 5, 4)
    (row,) = rows(training([end - 3 for end in ENDS]))
    assert (row["verdict"], row["why"]) == (DIFFERS, "")
    assert row["difference"] == pytest.approx(-2.94)


def of_seeds(ends: Sequence[float]) -> Number:
    spread = pd.Series(ends).std() / math.sqrt(len(ends))
    return Number(mean_interval(ends).estimate, 0.0, float(spread), len(ends))


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (training(ENDS, steps=2), "50 % of the published steps"),
        (training(ENDS, rate=0.01), "published at learning rate 0.03, which was not run"),
        (training([*ENDS[:4], None]), "1 seed diverged"),
        (training([None, None]), "2 seeds diverged"),
        (training(ENDS[:1]), "one seed shows no spread"),
        (training([-38.0, -43.0]), "equal numbers may be 153 apart, and 1 would matter"),
    ],
    ids=["steps", "rate", "diverged", "all-diverged", "one-seed", "spread"],
)
def test_where_nobody_can_tell_it_says_why(tables: Path, record: Record, why: str) -> None:
    (row,) = rows(record)
    assert (row["verdict"], row["why"]) == (CANNOT_TELL, why)
    ends = [end for end in record["measurements"]["final"]["train_elbo"] if end is not None]
    if not ends:
        assert math.isnan(row["ours"]) and math.isnan(row["difference"])
        return
    assert row["ours"] == pytest.approx(sum(ends) / len(ends)), "the number is shown all the same"
    assert row["difference"] == row["ours"] + 40.5


def test_fewer_seeds_than_the_published_are_judged_by_their_own_spread(tables: Path) -> None:
    (row,) = rows(training(ENDS[:3]))
    assert row["verdict"] == judge(Number(-40.5, 0.05, 0.4 / math.sqrt(5), 5), of_seeds(ENDS[:3]), 1.0).verdict
    assert row["seeds"] == 3


def test_a_longer_training_a_failed_cell_and_another_protocol_stand_beside_nothing(tables: Path) -> None:
    failed = training(ENDS, cell=("deep", "rebar[temperature=0.5]"), rate=0.01)
    failed |= {"status": "failed", "reason": "RuntimeError: no", "measurements": {}}
    other = training(ENDS)
    other["config"]["problem"]["latents"] = 3
    other["cell"] = cell_id(other["config"])
    assert rows(training(ENDS, steps=8), failed, other) == []
    (row,) = rows(training(ENDS, steps=8), failed, other, training(ENDS))
    assert row["steps"] == 4 and row["verdict"] == AGREES


def test_where_the_best_rate_is_not_known_all_of_them_have_to_be_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = TABLE.replace("rate = 0.03, ", "").replace("bound =", "best = true\nbound =")
    monkeypatch.setattr(trained, "TRAININGS", in_folder(tmp_path / "b", unknown))
    (row,) = rows(training(ENDS))
    assert (row["verdict"], row["why"]) == (CANNOT_TELL, "1 of 2 published learning rates run")
    (row,) = rows(training([end - 0.6 for end in ENDS]), training([end - 5 for end in ENDS], rate=0.01))
    assert (row["verdict"], row["why"], row["learning_rate"]) == (AGREES, "", 0.03)
    best = mean_interval([end - 0.1 for end in ENDS])
    assert row["quantity"] == "best train ELBO"
    assert row["ours"] == pytest.approx(best.estimate), "half a nat above the end"
    more = [training([end - 5 for end in ENDS], rate=0.01), training(ENDS, rate=0.1)]
    (row,) = rows(training([end - 0.6 for end in ENDS]), *more)
    assert (row["learning_rate"], row["ours"]) == (0.03, pytest.approx(best.estimate)), "a rate that they did not try"
    (row,) = rows(*more[1:])
    assert (row["verdict"], row["why"]) == (CANNOT_TELL, "0 of 2 published learning rates run")
    assert row["learning_rate"] == 0.1


def test_the_report_has_a_table_and_a_section_and_escapes_them(tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    records = [training(ENDS), training(ENDS, rate=0.01, steps=2, cell=("deep", "rebar[temperature=0.5]"))]
    files = write(records, out, {"csv", "md", "tex", "html"})
    assert {f"published.{ending}" for ending in ("csv", "md", "tex")} <= {path.name for path in files}
    with (out / "tables" / "published.csv").open(newline="") as file:
        told = {row["problem"]: row for row in csv.DictReader(file)}
    assert told["linear"]["protocol"] == protocol(records[0]["config"])
    assert (told["linear"]["verdict"], told["deep"]["verdict"]) == (AGREES, CANNOT_TELL)
    texts = {ending: (out / "tables" / f"published.{ending}").read_text() for ending in ("md", "tex")}
    assert "| -40.5 ± 0.4 sd |" in texts["md"] and "| 4 of 4 | 5, published 5 | agrees" in texts["md"]
    assert r"\<b>ten\</b> & more_rows" in texts["md"]
    assert r"Some \& Body, a\_conference" in texts["tex"] and r"$-$40 & .5 & $\pm$ 0.4 sd" in texts["tex"]
    page = (out / "report.html").read_text()
    assert page.count('<h2 id="published">') == 1
    assert "Some &amp; Body, a_conference" in page and "&lt;b&gt;ten&lt;/b&gt; &amp; more_rows." in page
    assert "<b>ten" not in page
    assert "50 % of the published steps" in page


def test_a_part_of_a_report_has_its_part_of_the_table(tables: Path, tmp_path: Path) -> None:
    records = [training(ENDS), training(ENDS, rate=0.01, cell=("deep", "rebar[temperature=0.5]"))]
    write(records, tmp_path / "out", {"md"}, selection=Selection(problems=("deep",)))
    text = (tmp_path / "out" / "tables" / "published.md").read_text()
    assert "## deep" in text and "## linear" not in text


def test_a_report_without_such_a_record_is_as_it_was(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the byte, and no table is read for it."""

    def report(out: Path) -> dict[str, bytes]:
        paths = write(quick()[:6], out, {"csv", "md", "tex", "html"})
        return {str(path.relative_to(out)): path.read_bytes() for path in paths}

    (tables / "a.toml").write_text("torn")
    known = report(tmp_path / "known")
    (tables / PROTOCOLS).write_text((tables / PROTOCOLS).read_text().splitlines()[0] + "\n")
    assert report(tmp_path / "none") == known
    assert not any("published" in name for name in known)
    assert b'id="published"' not in known["report.html"]


def test_a_run_is_found_by_the_protocol_that_its_suite_has(
    tables: Path, tmp_path: Path, gradest: Callable[..., Done]
) -> None:
    """Real trainings: of all steps, and of half of them on two threads by three seeds with other labels."""
    (tmp_path / "tiny.toml").write_text(SUITE)
    assert gradest("run", "tiny.toml", "--out", "whole").code == 0
    less = SUITE.replace("steps = 4", "steps = 2").replace("seeds = 2", "seeds = 3\nthreads = 2")
    (tmp_path / "less.toml").write_text(less.replace('label = "linear"', 'label = "mine"'))
    run_suite(load_suite("less.toml"), tmp_path / "less", executor=inline)
    write(Store(tmp_path / "less").records(), tmp_path / "less", {"csv"})
    frames = {name: pd.read_csv(tmp_path / name / "tables" / "published.csv") for name in ("whole", "less")}
    protocols = set(pd.read_csv(tables / PROTOCOLS)["protocol"])
    for frame in frames.values():
        assert set(frame["protocol"]) == protocols and len(frame) == 2
    assert set(frames["whole"]["published_as"]) == {"LOO & co", "REBAR"}
    # Two seeds may tell or not; half of the steps cannot.
    assert set(frames["whole"]["verdict"]) <= {AGREES, DIFFERS, CANNOT_TELL}
    assert not frames["whole"]["why"].astype(str).str.contains("steps").any()
    assert set(frames["less"]["why"]) == {"50 % of the published steps"}
    assert set(frames["less"]["problem"]) == {"mine", "deep"}
    ours = {(row["config"]["problem"]["label"], row["config"]["measurement"]["optimisation"]["learning_rate"]):
            row["measurements"]["final"]["train_elbo"] for row in Store(tmp_path / "whole").records()
            if row["config"]["estimator"]["label"] == "rloo[samples=2]"}  # fmt: skip
    (linear,) = frames["whole"][frames["whole"]["problem"] == "linear"].to_dict("records")
    assert linear["ours"] == pytest.approx(sum(ours["linear", 0.03]) / 2)
    pairs = itertools.product(("linear", "deep"), (0.01, 0.03))
    assert set(ours) == set(pairs)


def test_only_tables_of_these_protocols_are_read(tables: Path) -> None:
    (tables / "b.toml").write_text("torn")
    assert published(["0" * 16]) == {}
    (of,) = published([str(protocol(config()))]).values()
    assert [one.cell.estimator for one in of] == ["LOO & co"]


def test_a_table_that_lost_a_number_since_its_protocols_were_made_is_one_line(tables: Path) -> None:
    path = tables / "a.toml"
    path.write_text(path.read_text().replace("LOO & co", "LOO"))
    with pytest.raises(
        BadInput, match=r"protocols[.]csv knows LOO & co on linear, and a[.]toml does not: make it anew"
    ):
        rows(training(ENDS))
