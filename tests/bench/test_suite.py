"""Suites: every fault in one line that a person can act on; cells with stable ids."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from bench.config import EstimatorConfig, parse_estimator
from bench.suite import Suite, load_suite, override, parse_suite, plan, suite_names
from bench.toml import dumps
from estimators import BadInput

SMALL = """
name = "small"
seeds = 2
samples = 2
problems = [
    {kind = "vae", dataset = "digits", family = "bernoulli", latents = 3, architecture = [8]},
    {kind = "toy", objective = "cubic", family = "bernoulli", latents = 2, logits = [0, 3]},
]
estimators = ["rloo", "reinforce[baseline=moving-average]", "exact", "reparameterization"]

[training]
steps = 4
batch = 10

[elbo]
evaluations = 2

[moments]
draws = 20
checkpoints = [0, 4]

[time]
rounds = 5
"""


def _small(**replacements: str) -> Suite:
    text = SMALL
    for old, new in replacements.values():
        text = text.replace(old, new)
    return parse_suite(text.encode(), "small.toml")


def test_every_suite_that_ships_is_whole() -> None:
    assert {"quick", "mnist-small"} <= set(suite_names())
    for name in suite_names():
        suite = load_suite(name)
        assert suite.name == name
        assert suite.title
        assert plan(suite).cells


def test_the_catalogue_holds_every_estimator_in_every_family_and_bound() -> None:
    import estimators

    suite = load_suite("catalogue")
    chosen = plan(suite)
    assert suite.moments.draws >= 1000
    assert suite.seeds >= 10
    for entry in estimators.available():
        for family in entry.families:
            kinds = {
                cell.measurement.kind
                for cell in chosen.cells
                if cell.estimator.name == entry.name and cell.problem.family == family and cell.problem.kind == "vae"
            }
            assert kinds == {"moments", "train", "time"}, (entry.name, family)


def test_quick_holds_all_families_and_what_a_reader_looks_for_first() -> None:
    suite = load_suite("quick")
    chosen = plan(suite)
    assert {cell.problem.family for cell in chosen.cells} == {"gaussian", "bernoulli", "categorical"}
    assert {cell.measurement.kind for cell in chosen.cells} == {"moments", "train", "time"}
    assert {"reparameterization", "rloo", "rebar", "gumbel-softmax"} < {cell.estimator.name for cell in chosen.cells}
    assert suite.moments.draws >= 1000
    assert suite.seeds >= 5


def test_a_plan_pairs_what_tags_allow_and_says_why_not() -> None:
    suite = override(_small(), estimators=["rloo", "disarm", "exact"])
    chosen = plan(suite)
    assert not chosen.skipped
    assert len(chosen.cells) == 3 * (3 + 2)
    big = _small(a=("latents = 3", "latents = 40"))
    big = override(big, estimators=["rloo", "exact"])
    with pytest.raises(BadInput, match=r"estimator 'exact' .* enumerates"):
        plan(override(big.model_copy(update={"problems": big.problems[:1]}), estimators=["exact"]))
    (skipped,) = plan(big).skipped
    assert skipped.estimator == "exact"
    assert skipped.reason == "enumerates at most 4096 joint states, not 1.1e+12"


def test_samples_of_the_suite_apply_where_legal() -> None:
    suite = parse_suite(SMALL.replace("samples = 2", "samples = 3").encode(), "small.toml")
    suite = override(suite, estimators=["rloo", "disarm", "reinforce[samples=5]"])
    samples = {cell.estimator.label: cell.estimator.samples for cell in plan(suite).cells}
    assert samples == {"rloo": 3, "disarm": 2, "reinforce[samples=5]": 5}


def test_cell_ids_are_stable_and_tell_every_setting_apart() -> None:
    chosen = [override(_small(), estimators=["rloo", "exact"]) for _ in range(2)]
    first, again = ([cell.id for cell in plan(suite).cells] for suite in chosen)
    assert first == again
    assert len(set(first)) == len(first)
    assert all(len(i) == 16 and int(i, 16) >= 0 for i in first)
    more = [cell.id for cell in plan(override(chosen[0], seeds=3)).cells]
    changed = [a != b for a, b in zip(first, more, strict=True)]
    kinds = [cell.measurement.kind == "train" for cell in plan(chosen[0]).cells]
    assert changed == kinds, "only training depends on the number of seeds"


def test_toys_with_another_target_are_another_problem() -> None:
    labels = [problem.label for problem in _small(a=("latents = 2,", "latents = 2, target = 0.9,")).problems]
    assert labels[1] == "cubic/bernoulli-2/target-0.9"
    assert _small().problems[1].label == "cubic/bernoulli-2"


def test_a_suite_survives_its_own_toml() -> None:
    for name in suite_names():
        suite = load_suite(name)
        text = dumps(suite.model_dump(mode="json", exclude_none=True))
        again = Suite.model_validate(tomllib.loads(text))
        assert again == suite
        assert [c.id for c in plan(again).cells] == [c.id for c in plan(suite).cells]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = 2", "seds = 2", "unknown key 'seds'; did you mean 'seeds'?"),
        ("steps = 4", "stepz = 4", "unknown key 'stepz'; did you mean 'steps'?"),
        ("latents = 3,", "latentz = 3,", "unknown key 'latentz'; did you mean 'latents'?"),
        ("draws = 20", "draws = 2", "moments.draws: Input should be greater than or equal to 3, got 2"),
        ("draws = 20", 'draws = "many"', "moments.draws: Input should be a valid integer"),
        ('name = "small"', "", "name is missing"),
        ('name = "small"', 'name = "Not A Slug"', "name: String should match pattern"),
        ("kind = \"toy\"", "kind = \"tou\"", "problems.1"),
        ("[training]", "[training", "is not valid TOML"),
        ("checkpoints = [0, 4]", "checkpoints = [0, 5]", "beyond the 4 steps"),
        ('"rloo", "rein', '"rloo", "rloo", "rein', "two estimators are called 'rloo': give one a label"),
        ('"rloo"', '"rloo[samples"', "cannot read estimator 'rloo[samples'; expected NAME or NAME[key=value,...]"),
        ("batch = 10", "batch = 5000", "training.batch = 5000 is larger than the train split of digits, 1285 rows"),
        ("draws = 20", "draws = 20\nrows = 2000", "moments.rows = 2000 is larger than the train split of digits"),
        ("checkpoints = [0, 4]", "checkpoints = []", "moments.checkpoints is empty; it needs at least one item"),
        ("logits = [0, 3]", "logits = []", "a bernoulli toy is swept over logits = [...], not empty"),
        ("latents = 2, logits", "latents = 16, categories = 4, logits", "categories belongs to categorical latents"),
        ('family = "bernoulli", latents = 2', 'family = "categorical", latents = 16, categories = 64',
         "would take 64^16 joint states, more than 65536"),
        ('"rloo"', '{name = "rloo", options = {samples = 2}}', "samples is a key beside options, not among them"),
        ('"rloo"', '{name = "rloo", options = {a = [1]}}', "an option is a number, true, false or a word, got [1]"),
        ("logits = [0, 3]", "scales = [1.0]", "a bernoulli toy is swept over logits"),
    ],
)  # fmt: skip
def test_faults_are_one_line(old: str, new: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        plan(override(parse_suite(SMALL.replace(old, new, 1).encode(), "small.toml"), estimators=["rloo"]))
    assert message in str(caught.value)
    assert str(caught.value).startswith("small.toml") or "larger than" in message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("estimators", "old", "new", "message"),
    [
        (["rlo"], "", "", "unknown estimator 'rlo'; did you mean 'rloo'?"),
        (["rloo[sampels=4]"], "", "", "unknown option of estimator 'rloo': 'sampels'; did you mean 'samples'?"),
        (["disarm[samples=3]"], "", "", "even number of samples"),
        (["sticking-the-landing"], "", "", "fits no problem of the suite: it is for gaussian latents, not bernoulli"),
        (["rloo"], '"digits"', '"mnist-statik"', "unknown data set 'mnist-statik'; did you mean 'mnist-static' or"),
        (["gumbel-sigmoid"], 'checkpoints = [0, 4]', 'references = ["gumbel-sigmoid"]\ncheckpoints = [0, 4]',
         "moments.references holds no unbiased estimator for digits/bernoulli-3/8"),
    ],
)  # fmt: skip
def test_faults_of_the_plan_are_one_line(estimators: list[str], old: str, new: str, message: str) -> None:
    suite = parse_suite(SMALL.replace(old, new, 1).encode(), "small.toml")
    with pytest.raises(BadInput) as caught:
        plan(override(suite, estimators=estimators))
    assert message in str(caught.value)


def test_unknown_suites_and_devices() -> None:
    with pytest.raises(BadInput, match="unknown suite 'quik'; did you mean 'quick'"):
        load_suite("quik")
    with pytest.raises(BadInput, match=r"unknown suite 'nowhere/mine.toml'"):
        load_suite("nowhere/mine.toml")
    with pytest.raises(BadInput, match="unknown device 'cudda'; did you mean 'cuda'"):
        override(_small(), device="cudda")
    with pytest.raises(BadInput, match=r"seeds: .* greater than or equal to 1, got 0"):
        override(_small(), seeds=0)


def test_suites_are_read_from_paths(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL)
    assert load_suite(str(path)).name == "small"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rloo", {"name": "rloo", "samples": None, "options": {}}),
        ("rloo[samples=4]", {"name": "rloo", "samples": 4, "options": {}}),
        ("a.b:C[x=0.5, flag=true, word=two-words]",
         {"name": "a.b:C", "samples": None, "options": {"x": 0.5, "flag": True, "word": "two-words"}}),
    ],
)  # fmt: skip
def test_estimators_are_read_from_text(text: str, expected: dict[str, object]) -> None:
    assert parse_estimator(text) == expected


@pytest.mark.parametrize("text", ["", "[x=1]", "rloo[", "rloo]", "rloo[x]", "rloo[=1]", "rloo[x=]"])
def test_unreadable_estimators_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        parse_estimator(text)


def test_labels_show_what_was_asked_for() -> None:
    config = EstimatorConfig.model_validate("reinforce[variance_normalisation=true,baseline=input-dependent,samples=3]")
    assert config.label == "reinforce[baseline=input-dependent,samples=3,variance_normalisation=true]"


def test_a_suite_may_fix_the_evaluations_of_f_instead_of_the_draws() -> None:
    given = {
        "name": "equal",
        "f_evals": 6,
        "problems": [{"kind": "toy", "objective": "cubic", "family": "bernoulli", "latents": 3, "logits": [1.0]}],
        "estimators": ["rloo", "disarm", "exact", "rloo[samples=4]", "rloo[samples=6]"],
        "moments": {},
    }
    given["estimators"][-1] = {"name": "rloo", "samples": 6, "label": "six"}
    with pytest.raises(BadInput, match="'exact' fits no problem of the suite: it cannot spend exactly 6 evaluations"):
        plan(Suite.model_validate(given))
    given["estimators"].remove("exact")
    with pytest.raises(BadInput, match=r"cannot spend exactly 6 evaluations of f a row; the nearest is 4$"):
        plan(Suite.model_validate(given))
    given["estimators"].remove("rloo[samples=4]")
    with pytest.raises(BadInput, match=r"'disarm' fits no problem .* exactly 5 .*; the nearest are 4 and 6$"):
        plan(Suite.model_validate(given | {"f_evals": 5, "estimators": ["disarm"]}))
    chosen = plan(Suite.model_validate(given))
    assert [cell.estimator.samples for cell in chosen.cells] == [6, 6, 6]
    with pytest.raises(ValidationError, match="give one of them"):
        Suite.model_validate(given | {"samples": 2})
