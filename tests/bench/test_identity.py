"""What a cell is, for store, report and compare: which records stand for one thing, and what is said of the others."""

import copy
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cli.report import report
from bench.records.identity import cell_id
from bench.report.findings import FIRST, findings
from bench.report.summary import summarise
from bench.statistics import mean_interval, ratio_interval
from bench.suite.load import load_suite
from bench.suite.plan import plan
from bench.suite.toml import dumps
from tests.bench.compared import compare
from tests.bench.plain import Store, identity, pair_up
from tests.bench.records import BERNOULLI, VAE, Record, moments, timing, train

RLOO, DISARM = BERNOULLI[0], BERNOULLI[3]


def three() -> list[Record]:
    """Moments, a training and a time of one estimator, all of one machine."""
    rng = np.random.default_rng(0)
    return [make(rng, VAE, DISARM) for make in (moments, train, timing)]


def elsewhere(records: list[Record], **provenance: Any) -> list[Record]:
    """The same cells on another machine, a day later."""
    copies = copy.deepcopy(records)
    for record in copies:
        record["provenance"] |= {"host": "node-2"} | provenance
        record["started"] = "2026-01-03T03:04:05"
    return copies


def folder(path: Path, records: list[Record]) -> Path:
    """A run's folder with these records."""
    suite = load_suite("quick")
    path.mkdir()
    (path / "suite.toml").write_text(dumps(suite.model_dump(mode="json", exclude_none=True)))
    for record in records:
        Store(path).write(record | {"traceback": None})
    return path


def compared(tmp_path: Path, a: list[Record], b: list[Record]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The last row of each quantity, and the notes."""
    rows, notes = compare(folder(tmp_path / "A", a), folder(tmp_path / "B", b))
    return {row["quantity"].partition(",")[0]: row for row in rows}, notes


def test_the_id_of_a_cell_is_the_hash_of_its_configuration() -> None:
    cell = plan(load_suite("quick")).cells[0]
    assert cell.id == identity.cell_id(cell.resolved())
    assert identity.cell_id({"b": 1, "a": [2, None]}) == "f46b8ed760aca382"  # of {"a":[2,null],"b":1}


def test_the_id_of_a_copy_is_its_own_and_a_cell_that_was_asked_for_its_id_is_the_same_cell() -> None:
    """The id is computed once, and kept with the cell, which workers get as bytes."""
    first, second = plan(load_suite("quick")).cells[:2]
    asked = first.id
    moved = first.model_copy(update={"threads": 2})
    assert moved.id == cell_id(moved.resolved()) != asked
    assert first.model_copy().id == asked
    fresh = plan(load_suite("quick")).cells[0]
    assert (fresh == first, first == second, fresh.resolved() == first.resolved()) == (True, False, True)
    assert pickle.loads(pickle.dumps(first)).id == asked


def test_a_time_of_two_machines_is_two_measurements_and_draws_on_two_are_one() -> None:
    here = three()
    kept, left_out = identity.merged([*here, *elsewhere(here)])
    kinds = sorted((identity.kind(record), identity.machine(record)) for record in kept)
    assert kinds == [("moments", "node-2"), ("time", "node-1"), ("time", "node-2"), ("train", "node-2")]
    assert identity.sentences(left_out) == [
        "2 records left out: the same draws on another machine, equal in every number."
    ]


def test_a_merged_report_shows_both_times_and_says_what_it_leaves_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = three()
    first, second = folder(tmp_path / "A", here), folder(tmp_path / "B", elsewhere(here))
    report([first, second], "md,html,csv", tmp_path / "both")
    table = (tmp_path / "both" / "tables" / "time.md").read_text()
    assert table.count("| disarm ") == 2
    assert "machine=node-1" in table
    assert "machine=node-2" in table
    sentence = f"2 records left out of {first}: the same draws on another machine, equal in every number."
    assert sentence in " ".join(capsys.readouterr().out.split())
    line, _, details = sentence.partition(": ")  # a doubt of the page, that opens
    page = (tmp_path / "both" / "report.html").read_text()
    assert line in page and f"<p>{details}</p>" in page


@pytest.mark.parametrize(
    ("factor", "words"),
    [(1.0, "equal in every number"), (1 + 1e-7, "equal up to rounding"), (1.5, "NUMBERS THAT DIFFER, by up to 0.3")],
)
def test_the_same_draws_on_two_machines_are_held_against_each_other(factor: float, words: str) -> None:
    here = three()[:1]
    there = elsewhere(here)
    there[0]["measurements"]["points"][1]["q"]["variance"]["estimate"] *= factor
    (sentence,) = identity.sentences(identity.merged([*here, *there]).left_out)
    assert sentence.startswith("1 record left out: the same draws on another machine")
    assert words in sentence
    assert sentence in [finding.text for finding in findings(summarise([*here, *there]))[FIRST]]


def test_what_is_rounding_alone_may_differ_in_every_digit() -> None:
    """A variance of 1e-20 beside a gradient of norm 2 is none."""
    here = three()[:1]
    for point in here[0]["measurements"]["points"]:
        point["q"]["variance"]["estimate"] = 1e-20
    there = scaled(elsewhere(here), 3.0)
    assert identity.disagreement(here[0], there[0]) == pytest.approx(2e-20 / 4)
    assert identity.disagreement(here[0], elsewhere(here)[0]) == 0
    there[0]["measurements"]["points"].pop()
    assert math.isinf(identity.disagreement(here[0], there[0]))
    trained = three()[1:2]
    other = elsewhere(trained)
    other[0]["measurements"]["curve"]["seconds"][-1] *= 2
    assert identity.disagreement(trained[0], other[0]) == 0
    ends = other[0]["measurements"]["final"]["test_elbo"]
    ends[0] *= 0.9
    assert identity.disagreement(trained[0], other[0]) == pytest.approx(0.1)


def test_another_source_is_no_other_machine_and_a_cell_that_failed_hides_none_that_went_well() -> None:
    here = three()[:1]
    (left_out,) = identity.merged([*here, *elsewhere(here, estimator_source="newer")]).left_out
    assert "another version of the estimator's source" in identity.sentences([left_out])[0]
    there = elsewhere(here)
    there[0] |= {"status": "out-of-memory", "measurements": {}}
    kept, left = identity.merged([*here, *there])
    assert [record["status"] for record in kept] == ["ok"]
    assert identity.sentences(left) == ["1 record left out: out-of-memory, where a record of the same thing went well."]


def test_an_older_record_of_other_settings_is_left_out_of_a_run_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = three()
    other = elsewhere(here, host="node-1")[0]
    other["config"]["measurement"]["draws"] = 50
    other["cell"] = identity.cell_id(other["config"])
    run = folder(tmp_path / "A", [*here, other])
    assert len(Store(run).whole()) == 4
    assert len(Store(run).records()) == 3
    report([run], "md", None)
    sentence = f"1 record left out of {run}: an older one of the same thing with other settings."
    assert sentence in capsys.readouterr().out


def test_equal_draws_compare_as_identical(tmp_path: Path) -> None:
    rows, _ = compared(tmp_path, three(), elsewhere(three()))
    variance, elbo = rows["variance B/A"], rows["test ELBO B - A"]
    assert (variance["estimate"], variance["low"], variance["high"]) == (1, 1, 1)
    assert variance["remark"] == "same draws: identical"
    assert (elbo["estimate"], elbo["low"], elbo["high"]) == (0, 0, 0)
    assert elbo["remark"] == "paired over 5 seeds; same draws: identical"


def scaled(records: list[Record], factor: float) -> list[Record]:
    """With every variance and its interval times the factor."""
    for record in records:
        for point in record["measurements"].get("points", []):
            variance = point["q"]["variance"]
            scale = {end: variance[end] * factor for end in ("estimate", "low", "high") if variance[end] is not None}
            point["q"]["variance"] = variance | scale
    return records


@pytest.mark.parametrize(
    ("source", "factor", "remark"),
    [
        ("disarm", 1 + 1e-6, "same draws: identical up to rounding"),
        ("disarm", 1.2, "same draws, other machine or versions"),
        ("newer", 1.2, "same draws, other source: paired, so no interval"),
        ("newer", 1.0, "same draws: identical"),
    ],
)
def test_draws_of_one_seed_have_no_interval_of_independence(
    tmp_path: Path, source: str, factor: float, remark: str
) -> None:
    rows, _ = compared(tmp_path, three(), scaled(elsewhere(three(), estimator_source=source), factor))
    variance = rows["variance B/A"]
    assert variance["estimate"] == pytest.approx(factor, rel=1e-12)
    assert math.isnan(variance["low"]) == (factor != 1)
    assert variance["remark"] == remark


def test_draws_of_other_settings_are_independent(tmp_path: Path) -> None:
    other = scaled(elsewhere(three()), 1.2)
    for record in other:
        record["config"]["threads"] = 2
        record["cell"] = identity.cell_id(record["config"])
    rows, notes = compared(tmp_path, three(), other)
    old, new = (records[0]["measurements"]["points"][2]["q"]["variance"] for records in (three(), other))
    expected = ratio_interval(new["estimate"], new["log_se"], old["estimate"], old["log_se"])
    row = rows["variance B/A"]
    assert [row[end] for end in ("estimate", "low", "high")] == pytest.approx(expected)
    assert row["remark"] == "independent draws"
    assert "SETTINGS DIFFER: moments threads: 1 in A, 2 in B" in notes


def test_an_elbo_is_paired_by_the_number_of_its_seed(tmp_path: Path) -> None:
    """B has the seeds 2, 4, 0 in that order, and seed 4 diverged: two pairs, 2 and 0, of a difference of 7 and 5."""
    here, there = three(), elsewhere(three())
    ends = here[1]["measurements"]["final"]["test_elbo"]
    there[1]["measurements"] |= {"seeds": [2, 4, 0], "diverged": [None, 9, None], "curve": {}}
    there[1]["measurements"]["final"] = {"test_elbo": [ends[2] + 7, None, ends[0] + 5]}
    rows, _ = compared(tmp_path, here, there)
    row = rows["test ELBO B - A"]
    assert [row[end] for end in ("estimate", "low", "high")] == pytest.approx(mean_interval([7.0, 5.0]))
    assert row["remark"].startswith("paired over 2 seeds, 3 diverged or in one run alone")


def test_times_of_two_machines_compare_in_plain_steps_and_not_in_seconds(tmp_path: Path) -> None:
    here, there = three(), elsewhere(three())
    fast = there[2]["measurements"]
    for part in ("step", "floor", "plain"):
        fast[part] = {key: value if key == "n" else value / 10 for key, value in fast[part].items()}
    slower = {end: 1.5 * fast["plain_ratio"][end] for end in ("median", "q25", "q75")}
    fast["plain_ratio"] |= slower | {"log_se": 0.04}
    rows, notes = compared(tmp_path, here, there)
    row = rows["step time B/A"]
    assert row["quantity"] == "step time B/A, in plain steps"
    expected = ratio_interval(1.5, 0.04, 1.0, 0.02)
    assert [row[end] for end in ("estimate", "low", "high")] == pytest.approx(expected)
    assert row["remark"] == "two machines"
    assert "host: node-1 in A, node-2 in B" in notes


def test_an_older_time_has_no_interval_and_a_busy_one_a_remark(tmp_path: Path) -> None:
    here, there = three(), elsewhere(three(), host="node-1")
    del here[2]["measurements"]["plain_ratio"]["log_se"]
    there[2]["measurements"]["load"] = [9.0, 9.0, 9.0]
    row = compared(tmp_path, here, there)[0]["step time B/A"]
    assert (row["estimate"], math.isnan(row["low"])) == (1.0, True)
    assert row["remark"] == "B on a busy machine; no interval: a record does not hold the noise of its clock"


def test_a_time_from_before_plain_steps_compares_in_floors(tmp_path: Path) -> None:
    here, there = three(), elsewhere(three())
    del here[2]["measurements"]["plain_ratio"]
    row = compared(tmp_path, here, there)[0]["step time B/A"]
    assert row["quantity"] == "step time B/A, in floors"


def test_runs_on_two_devices_compare(tmp_path: Path) -> None:
    """Each record finds one partner: the same device first, and another where there is none."""
    here, there = three(), elsewhere(three(), gpu="an accelerator")
    for record in there:
        record["config"]["device"] = "cuda"
        record["cell"] = identity.cell_id(record["config"])
    rows, notes = compared(tmp_path, here, there)
    assert len(rows) == 3
    assert "SETTINGS DIFFER: moments device: cpu in A, cuda in B" in notes
    assert f"0 cells went well in {tmp_path / 'A'} alone" in notes
    assert all(pair.a["cell"] == pair.b["cell"] for pair in pair_up([*here, *there], there))


def other(record: Record, path: str, value: Any) -> Record:
    """A copy with another value at the dotted path."""
    changed = copy.deepcopy(record)
    *places, last = path.split(".")
    inner: Any = changed
    for place in places:
        inner = inner[place]
    inner[last] = value
    return changed


SUBJECTS = [
    ("config.measurement.kind", "bias", "subject comparable"),
    ("config.measurement.draws", 7, ""),
    ("config.measurement.optimisation", {"learning_rate": 0.1}, "rate"),
    ("config.problem.kind", "toy", "subject comparable"),
    ("config.problem.label", "another", "subject comparable"),
    ("config.problem.logit", 1.0, "subject comparable"),
    ("config.problem.scale", 1.0, "subject comparable"),
    ("config.problem.family", "gaussian", ""),
    ("config.problem.dataset", "mnist-static", ""),
    ("config.estimator.label", "another", "subject comparable"),
    ("config.estimator.name", "another", ""),
    ("config.estimator.samples", 7, "subject"),
    ("config.device", "cuda", "subject"),
    ("config.threads", 7, ""),
    ("config.matmul_precision", "high", ""),
    ("cell", "another", "measurement"),
    ("started", "2027", ""),
    ("status", "failed", ""),
    ("provenance.host", "node-7", "machine"),
    ("provenance.gpu", "an accelerator", "machine"),
    ("provenance.cpu", "another", ""),
    ("provenance.commit", "another", ""),
    ("provenance.estimator_source", "another", ""),
]


@pytest.mark.parametrize(("path", "value", "changed"), SUBJECTS, ids=[path for path, *_ in SUBJECTS])
def test_what_makes_two_records_two_things(path: str, value: Any, changed: str) -> None:
    """What is measured, its cell, of a time its machine, and of a training its learning rate."""
    keys = {"subject": identity.subject, "comparable": identity.comparable, "measurement": identity.measurement}
    for record in three():
        timed = "subject measurement" if identity.kind(record) == "time" else ""
        swept = "subject comparable" if identity.kind(record) == "train" else ""
        expected = set(changed.replace("machine", timed).replace("rate", swept).split())
        if path == "config.measurement.kind" and timed:  # no time any more, and so of no machine
            expected |= {"measurement"}
        there = other(record, path, value)
        assert {name for name, key in keys.items() if key(record) != key(there)} == expected
        assert identity.same_draws(record, there) == (path != "cell")
        assert identity.same_source(record, there) == (path != "provenance.estimator_source")


def test_a_machine_is_its_host_and_its_accelerator() -> None:
    record = three()[0]
    assert identity.machine(record) == "node-1"
    record["provenance"] |= {"gpu": "a GPU"}
    assert identity.machine(record) == "node-1 a GPU"
    del record["provenance"]["host"]
    assert identity.machine(record) == "a GPU"
    assert identity.machine(record | {"provenance": {}}) == ""


def of(
    cell: str, started: str, label: str = "rloo", status: str = "ok", host: str = "a", kind: str = "moments"
) -> Record:
    """A record with no measurements."""
    config = {"measurement": {"kind": kind}, "problem": {"kind": "vae", "label": "p"}}
    config |= {"estimator": {"label": label}, "device": "cpu"}
    return {"cell": cell, "started": started, "status": status, "config": config, "measurements": {"points": []}} | {
        "provenance": {"host": host, "estimator_source": "s"}
    }


def test_which_of_several_records_counts() -> None:
    """Of a run the newest of a subject, however it went; of several runs one that went well, then the newest."""
    late, early, between = of("y", "2026-03"), of("x", "2026-01"), of("z", "2026-02")
    broken, alone = of("w", "2026-04", status="failed"), of("v", "2025", label="arm")
    kept, left_out = identity.newest([late, broken, early, alone, between])
    assert kept == [alone, broken]
    assert left_out == [(late, broken), (early, broken), (between, broken)]
    kept, left_out = identity.newest([between, late, alone, early])
    assert [record["cell"] for record in kept] == ["v", "y"]
    assert [(pair.record["cell"], pair.shown["cell"]) for pair in left_out] == [("z", "y"), ("x", "y")]

    well, well_later, worse = of("c", "2026-01"), of("c", "2026-02", host="b"), of("c", "2026-03", status="diverged")
    for records in ([well, well_later, worse], [worse, well_later, well]):
        kept, left_out = identity.merged([*records, of("b", "2026-01", label="rloo")])
        assert [(record["cell"], record["started"]) for record in kept] == [("b", "2026-01"), ("c", "2026-02")]
        assert [pair.record for pair in left_out] == [record for record in records if record is not well_later]
    kept, _ = identity.merged([of("c", "2026-01", status="failed"), of("c", "2026-02", status="diverged")])
    assert [record["status"] for record in kept] == ["diverged"]


def test_of_records_of_one_moment_the_last_counts_and_times_of_two_machines_both() -> None:
    first, second = of("c", "2026"), of("c", "2026", host="b")
    for read in (identity.newest, identity.merged):
        assert read([first, second]).records == [second]
        assert read([second, first]).records == [first]
    times = [of("c", "2026", host=host, kind="time") for host in ("b", "a")]
    for read in (identity.newest, identity.merged):
        assert [record["provenance"]["host"] for record in read(times).records] == ["a", "b"]


def trained(train: list[float | None], test: list[float | None], iwae: list[float | None], seconds: float) -> Record:
    final = {"train_elbo": train, "test_elbo": test, "test_iwae": iwae, "iwae_samples": 5}
    curve = {"seconds": [0.0, seconds], "step": [0, 9]}
    return three()[1] | {"measurements": {"curve": curve, "final": final}}


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (([-10.0, -20.0], [-40.0, None], [-4.0, -5.0], 9.0), 0),
        (([-8.0, -20.0], [-40.0, None], [-4.0, -5.0], 1.0), 0.2),
        (([-10.0, -25.0], [-40.0, None], [-4.0, -5.0], 1.0), 0.2),
        (([-10.0, -20.0], [-50.0, None], [-4.0, -4.0], 1.0), 0.2),
        (([-10.0, -20.0], [-44.0, None], [-4.0, -10.0], 1.0), 0.5),
        (([-10.0, 20.0], [-40.0, None], [-4.0, -5.0], 1.0), 2),
        (([-10.0, -20.0], [-40.0, -1.0], [-4.0, -5.0], 1.0), math.inf),
        (([-10.0, -20.0], [None, -40.0], [-4.0, -5.0], 1.0), math.inf),
        (([-10.0, -20.0], [-40.0, None], [-4.0, -5.0, 0.25], 1.0), math.inf),
        (([-10.0, -20.0], [-40.0], [-4.0, -5.0], 1.0), math.inf),
    ],
)
def test_two_trainings_of_the_same_draws_differ_by_their_largest_relative_gap(there: Any, expected: float) -> None:
    """Of final ELBOs, over the larger of the two; never of seconds."""
    a, b = trained([-10.0, -20.0], [-40.0, None], [-4.0, -5.0], 1.0), trained(*there)
    assert identity.disagreement(a, b) == pytest.approx(expected)
    assert identity.disagreement(b, a) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("variance", "norm", "expected"),
    [(0.5, 0.9, 0.1 / 0.81), (0.5, 0.7, 0.2), (0.5, 0.0, 0.2), (0.5, None, 0.2), (0.3, None, 0.25), (0.4, 0.9, 0.0)],
)
def test_two_variances_differ_over_the_larger_of_them_and_the_squared_gradient(
    variance: float, norm: float | None, expected: float
) -> None:
    a, b = (three()[0] for _ in range(2))
    for record, value in ((a, 0.4), (b, variance)):
        point = {"q": {"variance": {"estimate": value}, "gradient_norm": norm}}
        record["measurements"] = {"points": [point, {"q": {"variance": {"estimate": 7.0}, "gradient_norm": 1.0}}]}
    assert identity.disagreement(a, b) == pytest.approx(expected)


def test_a_difference_in_other_numbers_is_rounding_and_none_at_all_is_nothing() -> None:
    a, b = (trained([-10.0], [-20.0], [-30.0], 1.0) for _ in range(2))
    b["measurements"]["curve"]["step"] = [0, 8]
    assert 0 < identity.disagreement(a, b) < 1e-12
    b["measurements"]["curve"] = {"step": (0, 9), "seconds": (5.0, 6.0)}
    assert identity.disagreement(a, b) == 0
    b["measurements"]["final"]["test_iwae"], a["measurements"]["final"]["test_iwae"] = [-0.1], [-0.4]
    assert identity.disagreement(a, b) == pytest.approx(0.75)  # however small they are
    old, new = three()[0] | {"measurements": {"note": 1}}, three()[0] | {"measurements": {}}
    assert 0 < identity.disagreement(old, new) < 1e-12
    b["measurements"] = {"diverged": [1]}
    assert math.isinf(identity.disagreement(a, b))


def test_every_reason_to_leave_a_record_out_has_its_sentence() -> None:
    """The first that holds; records of one folder and reason share a sentence, in order of the first of each."""
    shown = of("c", "2026-09") | {"measurements": {"points": [{"q": {"variance": {"estimate": 1000.0}}}]}}
    time = of("t", "2026-09", kind="time")

    def apart(estimate: float) -> Record:
        there = other(shown, "provenance.host", "b")
        there["measurements"]["points"][0]["q"]["variance"]["estimate"] = estimate
        return there

    pairs = [
        (shown | {"status": "failed", "cell": "other", "folder": "runs/a"}, shown),
        (shown | {"status": "failed"}, shown | {"status": "diverged"}),
        (shown | {"cell": "other"}, shown),
        (other(shown, "provenance.estimator_source", "new"), shown),
        (shown | {"cell": "other", "folder": "runs/a"}, shown),
        (shown | {"cell": "one more", "folder": "runs/a"}, shown),
        (shown | {"folder": "runs/b"}, shown),
        (other(time, "provenance.host", "b"), time),
        (apart(1000.0), shown),
        (apart(999.0), shown),
        (apart(998.9), shown),
        (apart(970.0), shown),
        (apart(2000.0), shown),
    ]
    same = "the same draws on another machine"
    assert identity.sentences([identity.LeftOut(*pair) for pair in pairs]) == [
        "1 record left out of runs/a: failed, where a record of the same thing went well.",
        "2 records left out: an older one of the same cell.",
        "1 record left out: an older one of the same thing with other settings.",
        "1 record left out: an older one of the same cell, of another version of the estimator's source.",
        "2 records left out of runs/a: an older one of the same thing with other settings.",
        "1 record left out of runs/b: an older one of the same cell.",
        f"1 record left out: {same}, equal in every number.",
        f"1 record left out: {same}, equal up to rounding in variances and ELBOs.",
        f"1 record left out: {same}, BUT NUMBERS THAT DIFFER, by up to 0.001 of one.",
        f"1 record left out: {same}, BUT NUMBERS THAT DIFFER, by up to 0.03 of one.",
        f"1 record left out: {same}, BUT NUMBERS THAT DIFFER, by up to 0.5 of one.",
    ]
