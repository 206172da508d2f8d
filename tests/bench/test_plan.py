"""The plan of a suite: which cells, in which order, with which settings, and what is a part of their ids."""

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import bench.datasets
from bench.records.identity import cell_id
from bench.suite.load import load_suite, override, parse_suite
from bench.suite.plan import Plan, Skipped, plan
from estimators import BadInput, Estimator, register, registry

LOUD = """
name = "loud"
title = "Every setting has a value of its own"
device = "cuda"
threads = 3
seeds = 7
samples = 4
problems = [
    {kind = "vae", dataset = "digits", family = "categorical", latents = 5, categories = 3, architecture = [11, 13], entropy = "analytic", prior = "learned", centre_input = false, signed_decoder_input = true, bias_from_data = false},
    {kind = "vae", dataset = "digits", family = "bernoulli", latents = 2, bound = "iwae", importance_samples = 6},
    {kind = "toy", objective = "coupled", family = "categorical", latents = 2, categories = 6, target = 0.25, logits = [2, 1]},
    {kind = "toy", objective = "exp", family = "gaussian", latents = 9, label = "an exponential", scales = [0.5]},
]
estimators = ["rloo", {name = "reinforce", samples = 3, options = {baseline = "moving-average"}, label = "mine"}, "vimco"]

[training]
steps = 21
batch = 22
optimiser = "sgd"
learning_rate = 0.23
own_learning_rate = 0.24

[elbo]
evaluations = 31
evaluation_rows = 32
evaluation_samples = 33
iwae_samples = 34

[moments]
draws = 41
rows = 42
checkpoints = [9, 5]
references = ["gumbel-softmax", "vimco", "disarm", "rloo[samples=8]"]
reference_draws = 1043
trajectory_seed = 44
warm_up = 45

[time]
stacked = 51
rounds = 52
warm_up = 53
"""  # noqa: E501
QUIET = """
name = "quiet"
problems = [
    {kind = "vae", dataset = "digits", family = "bernoulli", latents = 2},
    {kind = "toy", objective = "cubic", family = "bernoulli", logits = [0]},
]
estimators = ["reinforce"]
[elbo]
[moments]
[time]
"""
CATEGORICAL = "digits/categorical-5x3/11-13/analytic/learned-prior/raw-input/signed/zero-bias"


def planned(text: str) -> Plan:
    return plan(parse_suite(text.encode(), "here.toml"))


def hashed(config: dict[str, Any]) -> str:
    """An id by its definition."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def test_every_setting_reaches_the_cells_that_it_is_for() -> None:
    cells = {cell.title: cell for cell in planned(LOUD).cells}
    training = {"steps": 21, "batch": 22, "optimiser": "sgd", "learning_rate": 0.23, "own_learning_rate": 0.24}
    mine = {"name": "reinforce", "samples": 3, "options": {"baseline": "moving-average"}, "label": "mine"}
    vae = {
        "kind": "vae",
        "dataset": "digits",
        "family": "categorical",
        "latents": 5,
        "categories": 3,
        "architecture": [11, 13],
        "bound": "elbo",
        "importance_samples": None,
        "entropy": "analytic",
        "stochastic_layers": 1,
        "prior": "learned",
        "centre_input": False,
        "signed_decoder_input": True,
        "bias_from_data": False,
        "label": CATEGORICAL,
    }
    toy = {"kind": "toy", "objective": "coupled", "family": "categorical", "latents": 2, "categories": 6}
    toy |= {"target": 0.25, "logit": 1.0, "scale": None, "label": "coupled/categorical-2x6/target-0.25"}
    gaussian = {"kind": "toy", "objective": "exp", "family": "gaussian", "latents": 9, "categories": None}
    gaussian |= {"target": 0.45, "logit": None, "scale": 0.5, "label": "an exponential"}
    basket = {"kind": "moments", "draws": 41, "rows": 42, "checkpoints": [9, 5], "reference_draws": 1043}
    basket |= {"trajectory_seed": 44, "optimisation": training}
    elbo = {"evaluations": 31, "evaluation_rows": 32, "evaluation_samples": 33, "iwae_samples": 34}
    toys = {"kind": "moments", "draws": 41, "warm_up": 45, "own_learning_rate": 0.24}
    rloo = {"name": "rloo", "samples": 8, "options": {}, "label": "rloo[samples=8]"}
    on_cuda = {"estimator": mine, "device": "cuda", "threads": 3}
    expected = {
        f"moments {CATEGORICAL} mine": {"measurement": basket | {"reference": rloo}, "problem": vae} | on_cuda,
        f"train {CATEGORICAL} mine, learning rate 0.23": {
            "measurement": {"kind": "train", "seeds": 7, "optimisation": training} | elbo,
            "problem": vae,
        }
        | on_cuda,
        f"time {CATEGORICAL} mine": {
            "measurement": {"kind": "time", "floor": "in kind", "stacked": 51, "rounds": 52, "warm_up": 53}
            | {"optimisation": training},
            "problem": vae,
        }
        | on_cuda,
        "moments coupled/categorical-2x6/target-0.25 at |logit| 1 mine": {
            "measurement": toys,
            "problem": toy | {"bound": "elbo"},
        }
        | on_cuda
        | {"device": "cpu"},
        "moments an exponential at scale 0.5 rloo": {
            "measurement": toys,
            "problem": gaussian | {"bound": "elbo"},
            "estimator": {"name": "rloo", "samples": 4, "options": {}, "label": "rloo"},
            "device": "cpu",
            "threads": 3,
        },
    }
    for title, config in expected.items():
        assert cells[title].resolved() == config
        assert cells[title].id == hashed(config)
    weighted = cells["moments digits/bernoulli-2/linear/iwae-6 vimco"].resolved()
    assert weighted["estimator"] == {"name": "vimco", "samples": 6, "options": {}, "label": "vimco"}
    assert weighted["measurement"]["reference"] == weighted["estimator"]
    assert (weighted["problem"]["bound"], weighted["problem"]["importance_samples"]) == ("iwae", 6)


def test_what_a_suite_does_not_say_has_the_documented_default() -> None:
    toy, moments, train, time = (cell.resolved() for cell in planned(QUIET).cells)
    training = {"steps": 1000, "batch": 50, "optimiser": "adam", "learning_rate": 1e-3, "own_learning_rate": 1e-3}
    reinforce = {"name": "reinforce", "samples": 1, "options": {}, "label": "reinforce"}
    vae = {
        "kind": "vae",
        "dataset": "digits",
        "family": "bernoulli",
        "latents": 2,
        "categories": None,
        "architecture": "linear",
        "bound": "elbo",
        "importance_samples": None,
        "entropy": "sampled",
        "stochastic_layers": 1,
        "prior": "fixed",
        "centre_input": True,
        "signed_decoder_input": False,
        "bias_from_data": True,
        "label": "digits/bernoulli-2/linear",
    }
    shared = {"estimator": reinforce, "device": "cpu", "threads": 1}
    assert (
        toy
        == {
            "measurement": {"kind": "moments", "draws": 1000, "warm_up": 50, "own_learning_rate": 1e-3},
            "problem": {"kind": "toy", "objective": "cubic", "family": "bernoulli", "latents": 4, "categories": None}
            | {"target": 0.45, "logit": 0.0, "scale": None, "label": "cubic/bernoulli-4", "bound": "elbo"},
        }
        | shared
    )
    assert (
        moments
        == {
            "measurement": {"kind": "moments", "draws": 1000, "rows": 20, "checkpoints": [0, 100, 1000]}
            | {"reference": {"name": "rloo", "samples": 2, "options": {}, "label": "rloo"}, "reference_draws": 20000}
            | {"trajectory_seed": 0, "optimisation": training},
            "problem": vae,
        }
        | shared
    )
    assert (
        train
        == {
            "measurement": {"kind": "train", "evaluations": 10, "evaluation_rows": 1000, "evaluation_samples": 10}
            | {"iwae_samples": 100, "optimisation": training, "seeds": 5},
            "problem": vae,
        }
        | shared
    )
    assert (
        time
        == {
            "measurement": {"kind": "time", "stacked": 1, "rounds": 30, "warm_up": 5, "floor": "in kind"}
            | {"optimisation": training},
            "problem": vae,
        }
        | shared
    )
    suite = parse_suite(QUIET.encode(), "here.toml")
    assert (suite.title, suite.samples, suite.f_evals) == ("", None, None)
    references = [(r.name, r.samples, r.options) for r in suite.moments.references]
    names = ("reparameterization", "rloo", "iwae-reparameterization", "vimco")
    assert references == [(name, None, {}) for name in names]


def test_cells_go_toys_first_by_problem_then_moments_training_time_then_as_the_suite_lists() -> None:
    """Cheap ones first; those of one problem and kind are neighbours, since they share a trajectory."""
    chosen = planned(LOUD)
    weighted = "digits/bernoulli-2/linear/iwae-6"
    assert [cell.title for cell in chosen.cells] == [
        "moments an exponential at scale 0.5 rloo",
        "moments an exponential at scale 0.5 mine",
        "moments coupled/categorical-2x6/target-0.25 at |logit| 2 rloo",
        "moments coupled/categorical-2x6/target-0.25 at |logit| 1 rloo",
        "moments coupled/categorical-2x6/target-0.25 at |logit| 2 mine",
        "moments coupled/categorical-2x6/target-0.25 at |logit| 1 mine",
        f"moments {weighted} vimco",
        f"train {weighted} vimco, learning rate 0.23",
        f"time {weighted} vimco",
        f"moments {CATEGORICAL} rloo",
        f"moments {CATEGORICAL} mine",
        f"train {CATEGORICAL} rloo, learning rate 0.23",
        f"train {CATEGORICAL} mine, learning rate 0.23",
        f"time {CATEGORICAL} rloo",
        f"time {CATEGORICAL} mine",
    ]
    assert chosen.skipped == [
        Skipped(weighted, "rloo", "estimates the elbo bound, not iwae"),
        Skipped(weighted, "mine", "estimates the elbo bound, not iwae"),
        Skipped(CATEGORICAL, "vimco", "estimates the iwae bound, not elbo"),
        Skipped("coupled/categorical-2x6/target-0.25", "vimco", "estimates the iwae bound, not elbo"),
        Skipped("an exponential", "vimco", "estimates the iwae bound, not elbo"),
    ]


def test_suites_hold_what_their_titles_say() -> None:
    suites = {name: load_suite(name) for name in ("mnist-linear", "mnist-linear-elbo", "sharpness", "catalogue")}
    linear, elbo, sharpness, catalogue = suites.values()
    for suite in (linear, elbo):
        (problem,) = suite.problems
        assert (problem.dataset, problem.architecture, problem.family, problem.latents, problem.bound) == (
            "mnist-static", "linear", "bernoulli", 200, "elbo",
        )  # fmt: skip
        for cell in plan(suite).cells:
            entry = registry.get(cell.estimator.name)
            assert entry.evaluations(cell.estimator.samples, (200,), cell.estimator.options) == 6
    assert (linear.problems, linear.estimators, elbo.seeds) == (elbo.problems, elbo.estimators, 10)
    toys = tuple(problem for problem in catalogue.problems if problem.kind == "toy")
    assert sharpness.problems == toys
    assert {estimator.label for estimator in sharpness.estimators} < {e.label for e in catalogue.estimators}
    assert {toy.logits for toy in toys} == {(), (0, 1, 2, 3, 4.5, 6)}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        # 14 estimators of Bernoulli latents, 12 of categorical and 7 of Gaussian ones, which have two VAEs; toys of
        # 3, 2 and 1 objectives at 6, 6 and 4 points.
        ("quick", {"moments": 40 + 3 * 6 * 14 + 2 * 6 * 12 + 4 * 7, "train": 40, "time": 40}),
        ("mnist-small", {"moments": 5 + 3, "train": 5 + 3, "time": 5 + 3}),
        ("mnist-linear", {"moments": 23, "time": 23}),
        ("mnist-linear-elbo", {"train": 2 * 23}),
        ("sharpness", {"moments": 2 * 4 * 13 + 2 * 6 * 26 + 6 * 26}),
        ("timing", {"time": 2 * (10 + 22 + 23)}),
        ("catalogue", {"moments": 584 + 138, "train": 138, "time": 138}),
    ],
)
def test_suites_that_ship_come_to_so_many_cells(name: str, counts: dict[str, int]) -> None:
    assert Counter(cell.measurement.kind for cell in plan(load_suite(name)).cells) == counts


def _flipped(config: Any) -> Iterator[tuple[str, Any]]:
    """Copies with one leaf changed each, and where."""
    for key in config if isinstance(config, dict) else range(len(config)):
        value = config[key]
        changed = [(f".{name}", part) for name, part in _flipped(value)] if isinstance(value, dict | list) else []
        if not changed:
            changed = [("", {"bool": not value, "str": f"{value}x"}.get(type(value).__name__, 77))]
        for name, part in changed:
            other = copy.copy(config)
            other[key] = part
            yield f"{key}{name}", other


def test_every_part_of_a_configuration_counts_for_its_id() -> None:
    cells = {(cell.measurement.kind, cell.problem.label): cell for cell in planned(LOUD).cells}
    seen = {cell.id for cell in cells.values()}
    assert len(seen) == 8
    for cell in cells.values():
        for name, config in _flipped(cell.resolved()):
            found = cell_id(config)
            assert found not in seen, name
            assert found == hashed(config)
            seen.add(found)
    assert len(seen) > 8 * 20


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ('name = "loud"', 'name = "quiet"', ""),
        ('title = "Every', 'title = "Each', ""),
        ('device = "cuda"', 'device = "cpu"', "moments train time"),
        ("threads = 3", "threads = 2", "toy moments train time"),
        ("threads = 3", 'threads = 3\nmatmul_precision = "high"', "toy moments train time"),
        ("threads = 3", 'threads = 3\nmatmul_precision = "highest"', ""),
        ("seeds = 7", "seeds = 6", "train"),
        ("steps = 21", "steps = 20", "moments train time"),
        ("batch = 22", "batch = 23", "moments train time"),
        ('"sgd"', '"adam"', "moments train time"),
        ("\nlearning_rate = 0.23", "\nlearning_rate = 0.22", "moments train time"),
        ("own_learning_rate = 0.24", "own_learning_rate = 0.25", "toy moments train time"),
        ("evaluations = 31", "evaluations = 30", "train"),
        ("evaluation_rows = 32", "evaluation_rows = 30", "train"),
        ("evaluation_samples = 33", "evaluation_samples = 30", "train"),
        ("iwae_samples = 34", "iwae_samples = 30", "train"),
        ("iwae_samples = 34", "iwae_samples = 34\ntarget = -35", "train"),
        ("iwae_samples = 34", "iwae_samples = 34\nlearning_rates = [0.23]", ""),
        ("draws = 41", "draws = 40", "toy moments"),
        ("rows = 42", "rows = 40", "moments"),
        ("[9, 5]", "[9]", "moments"),
        ("reference_draws = 1043", "reference_draws = 1040", "moments"),
        ("trajectory_seed = 44", "trajectory_seed = 40", "moments"),
        ("warm_up = 45", "warm_up = 40", "toy"),
        ("stacked = 51", "stacked = 50", "time"),
        ("rounds = 52", "rounds = 50", "time"),
        ("warm_up = 53", "warm_up = 50", "time"),
    ],
)
def test_a_setting_changes_the_ids_of_what_it_decides_and_of_nothing_else(old: str, new: str, changed: str) -> None:
    def kinds(text: str) -> dict[str, tuple[str, str]]:
        cells = planned(text).cells
        titles = [cell.title.partition(", learning rate ")[0] for cell in cells]
        found = ["toy" if cell.problem.kind == "toy" else cell.measurement.kind for cell in cells]
        return {title: (c.id, kind) for title, c, kind in zip(titles, cells, found, strict=True)}

    before, after = kinds(LOUD), kinds(LOUD.replace(old, new, 1))
    assert before.keys() == after.keys()
    assert {kind for title, (found, kind) in before.items() if after[title][0] != found} == set(changed.split())
    assert {kind for title, (found, kind) in before.items() if after[title][0] == found}.isdisjoint(changed.split())


def test_what_stands_beside_a_cell_does_not_count_for_its_id() -> None:
    few = planned(LOUD.replace('"rloo", {name', "{name").replace(', "vimco"]', "]"))
    everything = {cell.title: cell.id for cell in planned(LOUD).cells}
    assert len(few.cells) == 6
    assert all(everything[cell.title] == cell.id for cell in few.cells)
    text = override(
        parse_suite(QUIET.encode(), "here.toml"), estimators=["reinforce[baseline=moving-average,samples=3]"]
    )
    table = {"name": "reinforce", "samples": 3, "options": {"baseline": "moving-average"}}
    written = override(parse_suite(QUIET.encode(), "here.toml"), estimators=[table])  # type: ignore[list-item]
    assert [cell.id for cell in plan(text).cells] == [cell.id for cell in plan(written).cells]


def test_the_command_line_replaces_estimators_seeds_and_device_and_keeps_the_rest() -> None:
    suite = parse_suite(LOUD.encode(), "here.toml")
    assert override(suite) is suite
    assert override(suite, estimators=[]) is suite
    changed = override(suite, estimators=["disarm", "rloo[samples=6]"], seeds=9, device="cpu")
    assert [(e.name, e.samples, e.label) for e in changed.estimators] == [
        ("disarm", None, "disarm"),
        ("rloo", 6, "rloo[samples=6]"),
    ]
    assert (changed.seeds, changed.device) == (9, "cpu")
    kept = {"estimators", "seeds", "device"}
    assert changed.model_dump(exclude=kept) == suite.model_dump(exclude=kept)
    for key, value in (("seeds", 9), ("device", "cpu")):
        one = override(suite, **{key: value})
        assert one.model_dump() == suite.model_dump() | {key: value}


TOY = """
name = "equal"
{count}
problems = [{{kind = "toy", objective = "cubic", {problem}}}]
estimators = ["{estimator}"]
[moments]
"""
BERNOULLI, CATEGORY = (
    'family = "bernoulli", latents = 3, logits = [1]',
    'family = "categorical", latents = 3, categories = 4, logits = [1]',
)
GAUSSIAN = 'family = "gaussian", latents = 3, scales = [1]'


@pytest.mark.parametrize(
    ("estimator", "evaluations", "problem", "samples"),
    [
        ("rloo", 7, BERNOULLI, 7),
        ("reinforce", 1, BERNOULLI, 1),
        ("disarm", 6, BERNOULLI, 6),
        ("ugc", 6, BERNOULLI, 4),  # three evaluations a pair
        ("muprop", 6, BERNOULLI, 5),  # one more at the mean
        ("rebar", 6, BERNOULLI, 3),
        ("rebar[coupled=false]", 6, BERNOULLI, 2),
        ("rloo[samples=4]", 4, BERNOULLI, 4),
        ("local-expectation", 8, BERNOULLI, 2),  # z and each of three bits flipped
        ("measure-valued", 20, GAUSSIAN, 2),  # z, and three terms a coordinate
        ("arsm", 14, CATEGORY, 2),  # 4 * 3 / 2 swaps and none
        ("rao-blackwell-top-k", 12, CATEGORY, 4),  # all four categories of each variable, as with more draws
        ("disarm", 5, BERNOULLI, "cannot spend exactly 5 evaluations of f a row; the nearest are 4 and 6"),
        ("rebar", 3, BERNOULLI, "cannot spend exactly 3 evaluations of f a row; the nearest are 2 and 4"),
        ("arsm", 6, CATEGORY, "cannot spend exactly 6 evaluations of f a row; the nearest is 7"),
        ("ugc", 5, BERNOULLI, "cannot spend exactly 5 evaluations of f a row; the nearest are 3 and 6"),
        ("rloo", 1, BERNOULLI, "cannot spend exactly 1 evaluations of f a row; the nearest is 2"),
        ("rloo[samples=4]", 6, BERNOULLI, "cannot spend exactly 6 evaluations of f a row; the nearest is 4"),
        ("rloo[samples=4]", 3, BERNOULLI, "cannot spend exactly 3 evaluations of f a row; the nearest is 4"),
        ("exact", 8, BERNOULLI, "cannot spend exactly 8 evaluations of f a row: it evaluates all joint states"),
        ("silent", 2, BERNOULLI, "cannot spend exactly 2 evaluations of f a row: it does not say how many it takes; "
         "give @register(...) f_evals, a function of samples"),
        ("six-at-least", 1, BERNOULLI, "cannot spend exactly 1 evaluations of f a row; the nearest is 6"),
        ("by-the-dozen", 7, BERNOULLI, "cannot spend exactly 7 evaluations of f a row; the nearest are 2 and 12"),
    ],
)  # fmt: skip
def test_evaluations_of_f_decide_the_draws(
    forget: None, estimator: str, evaluations: int, problem: str, samples: int | str
) -> None:
    tags: dict[str, dict[str, Any]] = {
        "silent": {},
        "six-at-least": {"samples": (5, 6, True), "f_evals": lambda samples: samples},
        "by-the-dozen": {"f_evals": lambda samples: 2 + 10 * (samples // 12)},
    }
    for name, tag in tags.items():
        register(name, families=("bernoulli",), unbiased=True, **tag)(type(name, (Estimator,), {"__module__": name}))
    text = TOY.format(count=f"f_evals = {evaluations}", problem=problem, estimator=estimator)
    if isinstance(samples, str):
        with pytest.raises(BadInput) as caught:
            planned(text)
        assert str(caught.value) == f"estimator {estimator!r} fits no problem of the suite: it {samples}"
    else:
        assert [cell.estimator.samples for cell in planned(text).cells] == [samples]


def test_draws_follow_each_problem_and_a_bound_has_its_own() -> None:
    """Local expectation spends 1 + latents a draw: eight on one latent are four draws, on three latents two."""
    text = """
    name = "equal"
    f_evals = 8
    problems = [
        {kind = "toy", objective = "cubic", family = "bernoulli", latents = 3, logits = [1]},
        {kind = "toy", objective = "cubic", family = "bernoulli", latents = 2, logits = [1]},
        {kind = "toy", objective = "cubic", family = "bernoulli", latents = 1, logits = [1]},
        {kind = "vae", dataset = "digits", family = "bernoulli", latents = 2, bound = "iwae", importance_samples = 5},
    ]
    estimators = ["local-expectation", "vimco", "vimco[samples=5]"]
    [moments]
    checkpoints = [0]
    """
    chosen = planned(text)
    assert [(cell.problem.label, cell.estimator.label, cell.estimator.samples) for cell in chosen.cells] == [
        ("cubic/bernoulli-1", "local-expectation", 4),
        ("cubic/bernoulli-3", "local-expectation", 2),
        ("digits/bernoulli-2/linear/iwae-5", "vimco", 5),
        ("digits/bernoulli-2/linear/iwae-5", "vimco[samples=5]", 5),
    ]
    skipped = {(item.problem, item.estimator): item.reason for item in chosen.skipped}
    assert skipped["cubic/bernoulli-2", "local-expectation"] == (
        "cannot spend exactly 8 evaluations of f a row; the nearest are 6 and 9"
    )
    with pytest.raises(BadInput) as caught:
        planned(text.replace("samples=5]", "samples=6]"))
    assert str(caught.value) == (
        "estimator 'vimco[samples=6]' fits no problem of the suite: it draws 6 samples, where the bound has 5"
    )
    with pytest.raises(BadInput) as caught:
        planned(text.replace("importance_samples = 5", "importance_samples = 1"))
    assert str(caught.value) == (
        "estimator 'vimco' fits no problem of the suite: it cannot draw the 1 samples of the bound: it takes "
        "samples >= 2"
    )


@pytest.mark.parametrize(
    ("count", "estimator", "samples"),
    [
        ("", "reinforce", 1),
        ("", "disarm", 2),
        ("", "rloo[samples=5]", 5),
        ("samples = 3", "reinforce", 3),
        ("samples = 3", "disarm", 2),
        ("samples = 1", "rloo", 2),
        ("samples = 3", "rloo[samples=5]", 5),
    ],
)
def test_draws_are_the_estimators_own_or_the_suites_or_the_default(count: str, estimator: str, samples: int) -> None:
    (cell,) = planned(TOY.format(count=count, problem=BERNOULLI, estimator=estimator)).cells
    assert cell.estimator.samples == samples


@pytest.mark.parametrize(
    ("references", "problem", "expected"),
    [
        ('"gumbel-sigmoid", "reparameterization", "vimco", "disarm", "rloo"', "", ("disarm", 4)),
        ('"arsm", "reinforce[baseline=moving-average,variance_normalisation=true]", "reinforce"', "", ("reinforce", 4)),
        ('"rloo", "disarm"', "", ("rloo", 4)),
        ('"rloo[samples=9]"', "", ("rloo", 9)),
        ('"exact", "rloo"', "", ("exact", 4)),
        ('"rloo", "vimco", "iwae-score"', 'bound = "iwae", importance_samples = 5', ("vimco", 5)),
        ('"rloo", "vimco", "iwae-score"', 'bound = "iwae", importance_samples = 1', ("iwae-score", 1)),
        ('"exact", "rloo"', "latents = 13", ("rloo", 4)),  # 8192 joint states, and 4096 are the most
    ],
)
def test_the_reference_is_the_first_that_is_unbiased_and_legal(
    references: str, problem: str, expected: tuple[str, int]
) -> None:
    latents = "" if "latents" in problem else "latents = 2"
    factors = ", ".join(filter(None, (latents, problem)))
    text = f"""
    name = "small"
    samples = 4
    problems = [{{kind = "vae", dataset = "digits", family = "bernoulli", {factors}}}]
    estimators = ["{"iwae-score" if "iwae" in problem else "rloo"}"]
    [moments]
    checkpoints = [0]
    references = [{references}]
    """
    (cell,) = planned(text).cells
    reference = cell.resolved()["measurement"]["reference"]
    assert (reference["name"], reference["samples"]) == expected


def test_without_a_reference_there_is_one_line() -> None:
    text = QUIET.replace("[moments]", 'moments.references = ["gumbel-sigmoid", "vimco"]').replace("[elbo]", "")
    text = text.replace("[time]", "")
    with pytest.raises(BadInput) as caught:
        planned(text)
    assert str(caught.value) == (
        "moments.references holds no unbiased estimator for digits/bernoulli-2/linear (bernoulli, elbo); add one "
        "(gradest list estimators)"
    )


def test_minibatches_as_large_as_the_train_split_are_the_largest() -> None:
    """1285 rows of digits; a suite of toys alone reads no data."""
    text = LOUD.replace("batch = 22", "batch = 1285").replace("\nrows = 42", "\nrows = 1285")
    assert len(planned(text).cells) == 15
    for key, old in (("training.batch", "batch = 1285"), ("moments.rows", "\nrows = 1285")):
        with pytest.raises(BadInput) as caught:
            planned(text.replace(old, old.replace("5", "6")))
        assert str(caught.value) == f"{key} = 1286 is larger than the train split of digits, 1285 rows"
    toys = TOY.format(count="", problem=BERNOULLI, estimator="rloo") + "rows = 5000\n[training]\nbatch = 5000"
    assert len(planned(toys).cells) == 1


def test_what_has_no_test_rows_is_not_evaluated_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before a run, where each training ended as one whose every seed diverged at step 0."""
    without = replace(bench.datasets.info("digits"), rows=(1285, 0, 0))
    monkeypatch.setattr(bench.datasets, "info", lambda name: without)
    with pytest.raises(BadInput, match=r"digits has no test rows, on which \[elbo\] evaluates trainings"):
        planned(LOUD)
    before, _, after = LOUD.partition("[elbo]")
    assert planned(before + after[after.index("[moments]") :]).cells
