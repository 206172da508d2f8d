"""Two hand-made runs side by side, in round numbers: every row and every note."""

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.cli.tables import print_table
from bench.records.identity import cell_id
from estimators import BadInput
from tests.bench.compared import compare
from tests.bench.plain import Store
from tests.bench.test_suite import SMALL

Record = dict[str, Any]

PROVENANCE = {
    "host": "one",
    "cpu": "a processor",
    "cores": 4,
    "gpu": None,
    "threads": 1,
    "python": "3.11.7",
    "torch": "2.13.0",
    "gradest": "0.1.0",
    "commit": "c0ffee",
    "dirty": False,
    "estimator_source": "source",
    "load": [99.0, 99.0, 99.0],  # of the whole process: a time has its own
}
VAE = {"kind": "vae", "label": "digits", "latents": 3}
TOY = {"kind": "toy", "label": "cubic", "logit": None, "scale": None}
HALF = math.exp(0.5 * 1.959963984540054)
"""e^(z / 2) with z the 97.5 % quantile of a standard normal: log standard errors of .3 and .4 come to one of .5."""


def made(kind: str, measurements: Mapping[str, Any], problem: Mapping[str, Any] = VAE, **changes: Any) -> Record:
    """A record; a change of settings, estimator or device gives it another cell, one of provenance does not."""
    config = {
        "measurement": {"kind": kind, "steps": 9, "optimisation": {"batch": 5, "optimiser": "adam"}},
        "problem": dict(problem),
        "estimator": {"name": "rloo", "samples": 2, "options": {}, "label": changes.pop("label", "rloo")},
        "device": changes.pop("device", "cpu"),
        "threads": changes.pop("threads", 1),
    }
    config["measurement"] |= changes.pop("settings", {})
    return {
        "schema": 1,
        "cell": cell_id(config),
        "status": (status := changes.pop("status", "ok")),
        "reason": None if status == "ok" else "why",
        "traceback": None,
        "started": changes.pop("started", "2026-01-02T03:04:05"),
        "seconds": 3.0,
        "config": config,
        "tags": {"unbiased": False},
        "measurements": dict(measurements),
        "provenance": PROVENANCE | changes,
    }


def variances(*points: tuple[int | None, float, float | None]) -> Record:
    """Of (step, estimate, log standard error)."""
    return {
        "points": [
            {
                "step": step,
                "q": {"variance": {"estimate": value, "low": min(0.1, value), "high": 99.0, "log_se": log_se}},
            }
            for step, value, log_se in points
        ]
    }


def elbos(seeds: list[int], ends: list[float | None]) -> Record:
    """Of seeds by number; the other final numbers are further apart."""
    final = {"train_elbo": [-1000.0 * seed for seed in seeds], "test_elbo": ends, "test_iwae": ends, "iwae_samples": 7}
    return {"seeds": seeds, "diverged": [None] * len(seeds), "curve": {}, "final": final}


def times(ratio: Any, plain: Any = None, load: float | None = 0.5, step: float = 7.0) -> Record:
    """Of (median, log standard error)s beside the floor and beside the plain step."""

    def quartiles(of: tuple[float, ...]) -> Record:
        about = {"median": of[0], "q25": 0.5 * of[0], "q75": 2 * of[0], "n": 30}
        return about | ({"log_se": of[1]} if of[1:] else {})

    found = {"step": quartiles((step,)), "load": None if load is None else [load, 77.0, 88.0]}
    found |= {"ratio": quartiles(ratio)} if ratio else {}
    return found | ({"plain_ratio": quartiles(plain)} if plain else {})


def folder(path: Path, records: list[Record]) -> Path:
    path.mkdir()
    (path / "suite.toml").write_text(SMALL)
    for record in records:
        Store(path).write(record)
    return path


def of(tmp_path: Path, a: list[Record], b: list[Record]) -> tuple[list[Record], list[str]]:
    return compare(folder(tmp_path / "A", a), folder(tmp_path / "B", b))


def alone(tmp_path: Path, a: int, b: int) -> list[str]:
    return [f"{a} cells went well in {tmp_path / 'A'} alone", f"{b} cells went well in {tmp_path / 'B'} alone"]


def test_the_whole_of_two_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a folder with settings of its own: other draws, so intervals; B / A of variances and times, B - A of ELBOs."""
    at_two, at_ten = TOY | {"logit": 2.0}, TOY | {"logit": 10.0}
    gaussian = TOY | {"label": "exp", "scale": 0.25, "logit": None}
    a = [
        made("train", elbos([0, 1, 2], [-20.0, -30.0, -40.0])),
        made("time", times((9.0, 0.1), (4.0, 0.3))),
        made("moments", variances((0, 8.0, 0.3), (100, 16.0, 0.4), (300, 5.0, None), (400, 3.0, 0.1))),
        made("moments", variances((None, 5.0, 0.3)), at_ten),
        made("moments", variances((None, 5.0, 0.3)), at_two),
        made("moments", variances((None, 2.0, 0.3)), gaussian),
        made("moments", variances((None, 2.0, 0.3)), gaussian, label="arm"),
        made("moments", variances((0, 1.0, 0.3)), label="disarm"),
        made("train", {}, label="disarm", status="failed"),
    ]
    more = {"settings": {"draws": 77}}
    b = [
        made("train", elbos([2, 1, 3], [-39.0, -27.0, -99.0]), **more),
        made("time", times((90.0, 0.1), (2.0, 0.4)), **more),
        made("moments", variances((100, 4.0, 0.3), (0, 24.0, 0.4), (300, 20.0, 0.3), (500, 7.0, 0.1)), **more),
        made("moments", variances((None, 10.0, 0.4)), at_ten, **more),
        made("moments", variances((None, 15.0, 0.4)), at_two, **more),
        made("moments", variances((None, 0.0, 0.0)), gaussian, **more),
        made("moments", variances((None, 6.0, 0.4)), gaussian, label="arm", **more),
    ]
    rows, notes = of(tmp_path, a, b)
    half = 12.706204736174694  # t of one degree of freedom, for differences of 3 and 1: s^2 / n = 2 / 2
    assert [list(row.values()) for row in rows] == [
        ["cubic", "rloo", "variance B/A", 2.0, 3.0, pytest.approx(3 / HALF), pytest.approx(3 * HALF),
         "independent draws"],
        ["cubic", "rloo", "variance B/A", 10.0, 2.0, pytest.approx(2 / HALF), pytest.approx(2 * HALF),
         "independent draws"],
        ["exp", "arm", "variance B/A", 0.25, 3.0, pytest.approx(3 / HALF), pytest.approx(3 * HALF),
         "independent draws"],
        ["exp", "rloo", "variance B/A", 0.25, 0.0, 0.0, 0.0, "independent draws"],
        ["digits", "rloo", "variance B/A", 0, 3.0, pytest.approx(3 / HALF), pytest.approx(3 * HALF),
         "independent draws"],
        ["digits", "rloo", "variance B/A", 100, 0.25, pytest.approx(0.25 / HALF), pytest.approx(0.25 * HALF),
         "independent draws"],
        ["digits", "rloo", "variance B/A", 300, 4.0, 0.0, math.inf, "independent draws"],
        ["digits", "rloo", "step time B/A, in plain steps", None, 0.5, pytest.approx(0.5 / HALF),
         pytest.approx(0.5 * HALF), ""],
        ["digits", "rloo", "test ELBO B - A", None, 2.0, pytest.approx(2 - half), pytest.approx(2 + half),
         "paired over 2 seeds, 2 diverged or in one run alone"],
    ]  # fmt: skip
    assert list(rows[0]) == ["problem", "estimator", "quantity", "point", "estimate", "low", "high", "remark"]
    assert notes == [
        *alone(tmp_path, 1, 0),
        "SETTINGS DIFFER: moments measurement.draws: None in A, 77 in B",
        "SETTINGS DIFFER: time measurement.draws: None in A, 77 in B",
        "SETTINGS DIFFER: train measurement.draws: None in A, 77 in B",
    ]
    print_table(rows)
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert printed == [
        "problem estimator quantity point estimate low high remark",
        "cubic rloo variance B/A 2 3 1.13 7.99 independent draws",
        "cubic rloo variance B/A 10 2 0.751 5.33 independent draws",
        "exp arm variance B/A 0.25 3 1.13 7.99 independent draws",
        "exp rloo variance B/A 0.25 0 0 0 independent draws",
        "digits rloo variance B/A 0 3 1.13 7.99 independent draws",
        "digits rloo variance B/A 100 0.25 0.0938 0.666 independent draws",
        "digits rloo variance B/A 300 4 0 inf independent draws",
        "digits rloo step time B/A, in plain steps - 0.5 0.188 1.33",
        "digits rloo test ELBO B - A - 2 -10.7 14.7 paired over 2 seeds, 2 diverged or in one run alone",
    ]


@pytest.mark.parametrize(
    ("new", "about", "expected"),
    [
        ((4.0, 0.3), {}, (1, 1, 1, "same draws: identical")),
        # Numbers decide, not who made them.
        ((4.0, 0.3), {"host": "two", "estimator_source": "other"}, (1, 1, 1, "same draws: identical")),
        ((4.0039, 0.3), {}, (1.000975, math.nan, math.nan, "same draws: identical up to rounding")),
        ((3.9961, 0.3), {}, (0.999025, math.nan, math.nan, "same draws: identical up to rounding")),
        ((4.0041, 0.3), {}, (1.001025, math.nan, math.nan, "same draws, other machine or versions")),
        ((4.0039, 0.3), {"estimator_source": "other"},
         (1.000975, math.nan, math.nan, "same draws, other source: paired, so no interval")),
        ((6.0, 0.3), {"host": "two"}, (1.5, math.nan, math.nan, "same draws, other machine or versions")),
        ((6.0, 0.3), {"host": "two", "estimator_source": "other"},
         (1.5, math.nan, math.nan, "same draws, other source: paired, so no interval")),
        ((0.0, 0.0), {}, (0.0, math.nan, math.nan, "same draws, other machine or versions")),
    ],
)  # fmt: skip
def test_variances_of_one_cell_are_the_same_draws(
    tmp_path: Path, new: tuple[float, float], about: dict[str, str], expected: tuple[Any, ...]
) -> None:
    (row,), _ = of(tmp_path, [made("moments", variances((7, 4.0, 0.3)))],
                   [made("moments", variances((7, *new)), **about)])  # fmt: skip
    found = [row[key] for key in ("estimate", "low", "high", "remark")]
    assert found[:3] == pytest.approx(expected[:3], nan_ok=True, rel=1e-12)
    assert found[3] == expected[3]


def test_nothing_is_no_denominator(tmp_path: Path) -> None:
    """Of the same draws, and of others."""
    points = variances((0, 0.0, 0.0), (1, 0.0, 0.0))
    first = [made("moments", points), made("moments", points, label="arm")]
    second = [
        made("moments", variances((0, 0.0, 0.0), (1, 3.0, 0.1))),
        made("moments", variances((0, 0.0, 0.0), (1, 3.0, 0.1)), label="arm", threads=2),
    ]
    rows, _ = of(tmp_path, first, second)
    nan = [math.nan] * 3
    expected = {("arm", 0): nan, ("arm", 1): nan, ("rloo", 0): [1, 1, 1], ("rloo", 1): nan}
    for row in rows:
        ends = [row[key] for key in ("estimate", "low", "high")]
        assert ends == pytest.approx(expected.pop((row["estimator"], row["point"])), nan_ok=True)
    assert not expected


SEEDS = ([0, 1, 2], [-20.0, -30.0, None])


@pytest.mark.parametrize(
    ("seeds", "about", "expected"),
    [
        (SEEDS, {}, (0, "paired over 2 seeds, 1 diverged or in one run alone; same draws: identical")),
        (([0, 1, 2], [-20.0, -30.0, -1.0]), {},
         (0, "paired over 2 seeds, 1 diverged or in one run alone; same draws: identical")),
        (([0, 1, 2], [-20.0, -28.0, None]), {},
         (1, "paired over 2 seeds, 1 diverged or in one run alone; same draws, other machine or versions")),
        (([0, 1, 2], [-20.0, -28.0, None]), {"estimator_source": "other"},
         (1, "paired over 2 seeds, 1 diverged or in one run alone; same draws, other source")),
        (SEEDS, {"threads": 2}, (0, "paired over 2 seeds, 1 diverged or in one run alone")),
        (([1], [-25.0]), {"threads": 2}, (5, "paired over 1 seed, 2 diverged or in one run alone")),
        (([2, 3], [-25.0, -1.0]), {"threads": 2}, None),
        (([0, 1, 2], [None, None, -3.0]), {}, None),
    ],
)  # fmt: skip
def test_elbos_are_paired_by_seed(
    tmp_path: Path,
    seeds: tuple[list[int], list[float | None]],
    about: dict[str, Any],
    expected: tuple[float, str] | None,
) -> None:
    rows, notes = of(tmp_path, [made("train", elbos(*SEEDS))], [made("train", elbos(*seeds), **about)])
    assert [(row["estimate"], row["remark"]) for row in rows] == ([expected] if expected else [])
    assert notes[:2] == alone(tmp_path, 0, 0)
    if len(seeds[0]) == 1:
        assert math.isnan(rows[0]["low"])
        assert math.isnan(rows[0]["high"])


def test_a_seed_that_diverged_is_not_compared_though_it_has_an_end(tmp_path: Path) -> None:
    """Of a loss that was not finite at one step alone."""
    lost = elbos([0, 1, 2], [-20.0, -30.0, -90.0]) | {"diverged": [None, None, 17]}
    others = elbos([0, 1, 2], [-21.0, -31.0, -20.0])
    (row,), _ = of(tmp_path, [made("train", lost)], [made("train", others, threads=2)])
    assert (row["estimate"], row["remark"]) == (-1, "paired over 2 seeds, 1 diverged or in one run alone")


NO_CLOCK = "no interval: a record does not hold the noise of its clock"


@pytest.mark.parametrize(
    ("old", "new", "about", "expected"),
    [
        (times((9.0, 0.1), (2.0, 0.3)), times((3.0, 0.1), (6.0, 0.4)), {},
         ("plain steps", 3, 3 / HALF, 3 * HALF, "")),
        (times((9.0, 0.3)), times((3.0, 0.4), (6.0, 0.1)), {}, ("floors", 1 / 3, 1 / 3 / HALF, HALF / 3, "")),
        (times((9.0, 0.3), (6.0, 0.1)), times((3.0, 0.4)), {}, ("floors", 1 / 3, 1 / 3 / HALF, HALF / 3, "")),
        (times((9.0, 0.1), (2.0, 0.3)), times((3.0, 0.1), (6.0, None)), {}, ("plain steps", 3, 0, math.inf, "")),
        (times((9.0, 0.1), (2.0, None)), times((3.0, 0.1), (6.0, 0.3)), {}, ("plain steps", 3, 0, math.inf, "")),
        (times((9.0, 0.1), (2.0,)), times((3.0, 0.1), (6.0, 0.3)), {},
         ("plain steps", 3, math.nan, math.nan, NO_CLOCK)),
        (times((9.0, 0.1), (2.0, 0.3)), times((3.0, 0.1), (6.0,)), {"host": "two"},
         ("plain steps", 3, math.nan, math.nan, f"two machines; {NO_CLOCK}")),
        (times((9.0, 0.1), (2.0, 0.3), load=4.0), times((3.0, 0.1), (6.0, 0.4), load=4.1), {},
         ("plain steps", 3, 3 / HALF, 3 * HALF, "B on a busy machine")),
        (times((9.0, 0.1), (2.0, 0.3), load=4.1), times((3.0, 0.1), (6.0, 0.4), load=4.1), {"gpu": "a GPU"},
         ("plain steps", 3, 3 / HALF, 3 * HALF, "A on a busy machine; B on a busy machine; two machines")),
        (times((9.0, 0.1), (2.0, 0.3), load=5.0), times((3.0, 0.1), (6.0, 0.4), load=5.0), {"cores": 8},
         ("plain steps", 3, 3 / HALF, 3 * HALF, "A on a busy machine")),
        (times((9.0, 0.1), (2.0, 0.3), load=None), times((3.0, 0.1), (6.0, 0.4), load=9.0), {"cores": None},
         ("plain steps", 3, 3 / HALF, 3 * HALF, "")),
    ],
)  # fmt: skip
def test_times_are_ratios_of_ratios(
    tmp_path: Path, old: Record, new: Record, about: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    """B / A of the medians beside the plain step, else beside the floor; never of seconds, whatever machine."""
    new["step"] |= dict.fromkeys(("median", "q25", "q75"), 1e6)
    (row,), _ = of(tmp_path, [made("time", old)], [made("time", new, **about)])
    unit, *interval, remark = expected
    assert row["quantity"] == f"step time B/A, in {unit}"
    assert row["point"] is None
    assert [row[key] for key in ("estimate", "low", "high")] == pytest.approx(interval, nan_ok=True)
    assert row["remark"] == remark


def test_seconds_alone_are_compared_with_nothing(tmp_path: Path) -> None:
    rows, notes = of(tmp_path, [made("time", times(None))], [made("time", times((3.0, 0.1), (6.0, 0.1)))])
    assert rows == []
    assert notes == alone(tmp_path, 0, 0)


def _shared(a: Record, b: Record, tmp_path: Path) -> bool:
    try:
        return len(of(tmp_path, [a], [b])[0]) == 1
    except BadInput as error:
        return str(error) != (
            f"{str(tmp_path / 'A')!r} and {str(tmp_path / 'B')!r} share no measurement of one estimator on one problem"
        )


@pytest.mark.parametrize(
    ("path", "value", "same"),
    [
        ("measurement.steps", 10, True),
        ("measurement.optimisation.batch", 6, True),
        ("problem.latents", 4, True),
        ("estimator.name", "reinforce", True),
        ("estimator.samples", 3, True),
        ("threads", 2, True),
        ("matmul_precision", "high", True),
        ("device", "cuda", True),
        ("problem.kind", "toy", False),
        ("problem.label", "mnist", False),
        ("problem.logit", 1.0, False),
        ("problem.scale", 1.0, False),
        ("estimator.label", "arm", False),
    ],
)
def test_what_is_set_side_by_side_is_one_estimator_on_one_problem(
    tmp_path: Path, path: str, value: Any, same: bool
) -> None:
    a, b = (made("moments", variances((0, 4.0, 0.3))) for _ in range(2))
    *places, last = path.split(".")
    inner = b["config"]
    for place in places:
        inner = inner[place]
    old, inner[last] = inner.get(last, "highest" if last == "matmul_precision" else None), value
    b["cell"] = cell_id(b["config"])
    assert _shared(a, b, tmp_path) == same
    if same:
        _, notes = compare(tmp_path / "A", tmp_path / "B")
        assert notes == [*alone(tmp_path, 0, 0), f"SETTINGS DIFFER: moments {path}: {old} in A, {value} in B"]


def test_a_record_of_another_kind_is_another_thing(tmp_path: Path) -> None:
    assert not _shared(made("moments", variances((0, 4.0, 0.3))), made("train", elbos([0], [-1.0])), tmp_path)


@pytest.mark.parametrize(
    ("a", "b", "ratios"),
    [
        # The same cell on another machine rather than other settings on this one.
        ([(2, {})], [(6, {"host": "two"}), (8, {"threads": 5})], [3]),
        # Of the same device where there is one, whatever else.
        ([(2, {}), (10, {"device": "cuda"})], [(6, {"threads": 5}), (70, {"threads": 5, "device": "cuda"})], [3, 7]),
        ([(10, {"device": "cuda"}), (2, {})], [(6, {"threads": 7}), (70, {"threads": 7, "device": "cuda"})], [3, 7]),
        ([(2, {"threads": 3}), (10, {"device": "cuda"})], [(6, {}), (70, {"threads": 9, "device": "cuda"})], [3, 7]),
        # Of another where there is none; and each record once.
        ([(2, {})], [(6, {"device": "cuda"})], [3]),
        ([(2, {})], [(6, {}), (8, {"device": "cuda"})], [3]),
    ],
)
def test_a_partner_is_of_the_same_cell_else_of_the_same_subject_else_of_another_device(
    tmp_path: Path, a: list[tuple[float, Any]], b: list[tuple[float, Any]], ratios: list[float]
) -> None:
    runs = [[made("time", times((1.0, 0.1), (plain, 0.3)), **about) for plain, about in run] for run in (a, b)]
    rows, notes = of(tmp_path, *runs)
    assert sorted(row["estimate"] for row in rows) == ratios
    assert notes[:2] == alone(tmp_path, len(a) - len(ratios), len(b) - len(ratios))


def test_every_difference_of_provenance_is_named_with_all_values(tmp_path: Path) -> None:
    """Those of paired cells alone; cores, load and source are read elsewhere."""
    hosts = {"a": "x", "b": "y"}
    first = [made("moments", variances((0, 4.0, 0.3)), label=name, host=host) for name, host in hosts.items()]
    changed = {key: f"new {key}" for key in PROVENANCE} | {"cores": 9, "load": [1.0, 1.0, 1.0], "dirty": True}
    changed |= {"matmul_precision": "high"}
    second = copy.deepcopy(first)
    for record, host in zip(second, "wv", strict=True):
        record["provenance"] |= changed | {"host": host}
    first.append(made("moments", variances((0, 4.0, 0.3)), label="c", host="zz"))
    _, notes = of(tmp_path, first, second)
    assert notes == [
        *alone(tmp_path, 1, 0),
        "host: x, y in A, v, w in B",
        "cpu: a processor in A, new cpu in B",
        "gpu: None in A, new gpu in B",
        "threads: 1 in A, new threads in B",
        "matmul_precision: highest in A, high in B",
        "python: 3.11.7 in A, new python in B",
        "torch: 2.13.0 in A, new torch in B",
        "gradest: 0.1.0 in A, new gradest in B",
        "commit: c0ffee in A, new commit in B",
        "dirty: False in A, True in B",
    ]


def test_of_a_folder_the_newer_record_is_compared_and_the_others_are_counted(tmp_path: Path) -> None:
    older = made("moments", variances((0, 1.0, 0.3)), settings={"draws": 5}, started="2026-01-01T00:00:00")
    newer, other = (made("moments", variances((0, value, 0.3))) for value in (4.0, 8.0))
    (row,), notes = of(tmp_path, [older, newer], [other])
    assert row["estimate"] == 2.0
    left_out = f"1 record left out of {tmp_path / 'A'}: an older one of the same thing with other settings."
    assert notes == [*alone(tmp_path, 0, 0), left_out]


def test_folders_without_a_run_or_without_a_success_are_one_line(tmp_path: Path) -> None:
    good = folder(tmp_path / "good", [made("moments", variances((0, 1.0, 0.3)))])
    bad = folder(tmp_path / "bad", [made("moments", {}, status="failed")])
    empty = tmp_path / "empty"
    empty.mkdir()
    for first, second in ((good, empty), (empty, good)):
        with pytest.raises(BadInput) as caught:
            compare(first, second)
        assert str(caught.value) == (
            f"{str(empty)!r} holds no run (no suite.toml); give the folder that `gradest run` made"
        )
    for first, second in ((good, bad), (bad, good)):
        with pytest.raises(BadInput) as caught:
            compare(first, second)
        assert str(caught.value) == f"no cell of {str(bad)!r} went well: gradest status {bad} says why"


@pytest.mark.parametrize(("place", "point"), [({"logit": 0.0}, 0.0), ({"scale": 0.5}, 0.5), ({}, None)])
def test_a_toy_stands_at_its_logit_or_its_scale(tmp_path: Path, place: Record, point: float | None) -> None:
    run = [made("moments", variances((None, 5.0, 0.3)), TOY | place)]
    assert [row["point"] for row in of(tmp_path, run, run)[0]] == [point]
