"""Suites: every fault in one line that a person can act on; cells with stable ids."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from bench.config import Config, EstimatorConfig, parse_estimator
from bench.suite.faults import explain
from bench.suite.load import load_suite, override, parse_suite, suite_names
from bench.suite.plan import plan
from bench.suite.schema import Suite
from bench.suite.toml import dumps
from estimators import BadInput
from estimators.families import FAMILIES

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
draws = 40
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
    ours = ["budgets", "catalogue", "mnist-linear", "mnist-linear-elbo", "mnist-small", "quick", "random-tables"]
    published = ["disarm", "disarm-variance", "dreg", "hooper", "hooper-int", "mc-gradients", "reinmax", "relax"]
    assert suite_names() == sorted([*ours, "sharpness", "timing", *published, "rodeo"])
    for name in suite_names():
        suite = load_suite(name)
        assert suite.name == name
        assert suite.title
        assert plan(suite).cells


def test_the_catalogue_holds_every_estimator_in_every_family_that_is_published_and_bound() -> None:
    import estimators

    suite = load_suite("catalogue")
    chosen = plan(suite)
    published = {"gaussian", "bernoulli", "categorical"}
    assert suite.moments.draws >= 1000
    assert suite.seeds >= 10
    for entry in estimators.available():
        for family in published & set(entry.families):
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


SUITE_KEYS = (
    "name, title, device, threads, matmul_precision, seeds, samples, f_evals, problems, estimators, training, "
    "overrides, leave_out, elbo, moments, time, measurements"
)
VAE_KEYS = (
    "kind, family, latents, categories, label, dataset, bound, importance_samples, architecture, decoder, "
    "activation, slope, entropy, kl_weight, kl_warm_up, stochastic_layers, prior, centre_input, "
    "signed_decoder_input, embedding, bias_from_data, initialisation"
)
TRAINING_KEYS = (
    "steps, batch, optimiser, learning_rate, own_learning_rate, own_rate_ratio, decoder_samples, compile, betas, "
    "epsilon, own_betas, weight_decay, momentum, prior_optimiser, prior_learning_rate, schedule, warm_up, "
    "warm_up_from, rate_every"
)
MOMENTS_KEYS = (
    "draws, rows, checkpoints, trajectories, minibatches, references, reference_draws, trajectory_seed, warm_up, exact"
)
LIST = 'estimators = ["rloo", "reinforce[baseline=moving-average]", "exact", "reparameterization"]'
MOMENTS = "[moments]\ndraws = 40\ncheckpoints = [0, 4]\n"
LARGEST = "is larger than the train split of digits, 1285 rows"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = 2", "seds = 2", f"unknown key 'seds'; did you mean 'seeds'? Known: {SUITE_KEYS} (at the top)"),
        ("seeds = 2", "seds = 2\ntite = 1",
         f"unknown key 'seds'; did you mean 'seeds'? Known: {SUITE_KEYS} (at the top) (and 1 more)"),
        ("steps = 4", "stepz = 4", f"unknown key 'stepz'; did you mean 'steps'? Known: {TRAINING_KEYS} (in training)"),
        ("steps = 4", "elbo = 4", f"unknown key 'elbo'. Known: {TRAINING_KEYS} (in training)"),
        ("evaluations = 2", "evaluation = 2", "unknown key 'evaluation'; did you mean 'evaluations', "
         "'evaluation_rows' or 'evaluation_samples'? Known: evaluations, evaluation_rows, "
         "evaluation_samples, iwae_samples, target, learning_rates, grow (in elbo)"),
        ("draws = 40", "draw = 20", f"unknown key 'draw'; did you mean 'draws'? Known: {MOMENTS_KEYS} (in moments)"),
        ("rounds = 5", "round = 5",
         "unknown key 'round'; did you mean 'rounds'? Known: stacked, rounds, warm_up (in time)"),
        # A mistyped key leaves another one missing, which is not said first.
        ("latents = 3,", "latentz = 3,",
         f"unknown key 'latentz'; did you mean 'latents'? Known: {VAE_KEYS} (in problems.0) (and 1 more)"),
        ("logits = [0, 3]", "logitz = [0, 3]", "unknown key 'logitz'; did you mean 'logits'? Known: kind, "
         "family, latents, categories, label, objective, target, table, logits, scales (in problems.1)"),
        ('"rloo"', '{nam = "rloo"}',
         "unknown key 'nam'; did you mean 'name'? Known: name, samples, options, label (in estimators.0) (and 1 more)"),
        ("draws = 40", 'references = [{name = "rloo", sampels = 3}]', "unknown key 'sampels'; did you mean 'samples'? "
         "Known: name, samples, options, label (in moments.references.0)"),
        ("draws = 40", "draws = 2", "moments.draws: Input should be greater than or equal to 3, got 2"),
        ("draws = 40", 'draws = "many"',
         "moments.draws: Input should be a valid integer, unable to parse string as an integer, got 'many'"),
        ("steps = 4", "learning_rate = nan", "training.learning_rate: Input should be a finite number, got nan"),
        ("steps = 4", "optimiser = 'lion'",
         "training.optimiser: Input should be 'adam', 'adamw', 'radam' or 'sgd', got 'lion'"),
        ("steps = 4", "optimiser = 'adamw'", "training: optimiser = \"adamw\" is \"adam\" but for its weight_decay, "
         "and that is 0: give one (0.01 is what torch takes where none is given), or take \"adam\""),
        ("steps = 4", "prior_optimiser = 'sgd'", "training: prior_optimiser = \"sgd\" has a rate of its own: "
         "give prior_learning_rate"),
        ("steps = 4", "prior_learning_rate = 1e-2", "the suite: training.prior_learning_rate is the rate of a learned "
         "prior, and no problem learns one: give one prior = \"learned\", or leave the rate out"),
        ("seeds = 2", "device = 'gpu'", "device: Input should be 'cpu' or 'cuda', got 'gpu'"),
        ("seeds = 2", "matmul_precision = 'hihg'",
         "matmul_precision: Input should be 'highest', 'high' or 'medium', got 'hihg'"),
        ("seeds = 2", "matmul_precisoin = 'high'",
         f"unknown key 'matmul_precisoin'; did you mean 'matmul_precision'? Known: {SUITE_KEYS} (at the top)"),
        ("architecture = [8]", "architecture = [9000]", "problems.0.architecture.0: Input should be less than or equal "
         "to 4096 (wider layers are none of a benchmark's, and their weights fill memory), got 9000 (and 1 more)"),
        ("architecture = [8]", "architecture = 9", "problems.0.architecture: Input should be 'linear' or 'nonlinear', "
         "or a list, got 9 (and 1 more)"),
        ('family = "bernoulli", latents = 3', 'family = "bernouli", latents = 3',
         "problems.0.family: unknown family 'bernouli'; did you mean 'bernoulli'? Known: "
         f"{', '.join(FAMILIES)} (or module:Class)"),
        ('name = "small"', "", "name is missing"),
        (LIST, "", "estimators is missing"),
        (LIST, "estimators = []", "estimators is empty; it needs at least one item"),
        ("evaluations = 2", "learning_rates = 1e-3", "elbo.learning_rates: expected a list, got 0.001"),
        ("checkpoints = [0, 4]", "checkpoints = []", "moments.checkpoints is empty; it needs at least one item"),
        ('name = "small"', 'name = "Not A Slug"',
         "name: String should match pattern '^[a-z0-9][a-z0-9-]*$', got 'Not A Slug'"),
        ('kind = "toy"', 'kind = "tou"',
         "problems.1: unknown problem kind 'tou'; did you mean 'toy'? Known: toy, vae, logistic-regression "
         "(gradest list problems, or module:Name)"),
        ('kind = "toy", ', "", "problems.1: kind is missing: one of toy, vae, logistic-regression, or module:Class"),
        ("checkpoints = [0, 4]", "checkpoints = [5, 0]",
         "the suite: a checkpoint of [moments] lies beyond the 4 steps of [training]"),
        ('"rloo", "rein', '"rloo", "rloo", "rein',
         "the suite: two estimators are called 'rloo': give one a label of its own"),
        ("problems = [\n", 'problems = [\n    {kind = "vae", dataset = "digits", family = "bernoulli", latents = 2, '
         'label = "cubic/bernoulli-2"},\n',
         "the suite: two problems are called 'cubic/bernoulli-2': give one a label of its own"),
        (MOMENTS, "", "the suite: toys are measured by [moments], which is missing"),
        (f"[elbo]\nevaluations = 2\n\n{MOMENTS}\n[time]\nrounds = 5\n", "",
         "the suite: nothing is measured: add one of [elbo], [moments], [time]"),
        ("samples = 2", "samples = 2\nf_evals = 6",
         "the suite: samples and f_evals both decide how many draws are taken: give one of them"),
        ("samples = 2", "f_evals = [2, 6.5]",
         "f_evals: expected a whole number from 1 to 100000, or a list of such, got [2, 6.5]"),
        ("samples = 2", "f_evals = []", "f_evals: expected at least one number of evaluations of f, got []"),
        ("samples = 2", "f_evals = [2, 2]",
         "f_evals: a number of evaluations stands there twice; give each once, got [2, 2]"),
        ("samples = 2", "samples = 2\nf_evals = [2, 6]",
         "the suite: samples and f_evals both decide how many draws are taken: give one of them"),
        ('"rloo"', '"rloo[samples"',
         "estimators.0: cannot read estimator 'rloo[samples'; expected NAME or NAME[key=value,...]"),
        ('"rloo"', '"rloo[x]"',
         "estimators.0: cannot read option 'x' of estimator 'rloo'; expected key=value, got 'rloo[x]'"),
        ('"rloo"', '{name = "rloo", options = {samples = 2}}',
         "estimators.0: samples is a key beside options, not among them"),
        ('"rloo"', '{name = "rloo", options = {stack = 2}}',
         "estimators.0: stack is no option of estimator 'rloo': a run sizes it for its problem"),
        ('"rloo"', '{name = "rloo", options = {a = [1]}}',
         "estimators.0.options.a: an option is a number, true, false or a word, got [1]"),
        ("logits = [0, 3]", "logits = []",
         "problems.1: a bernoulli toy is swept over logits = [...], not empty, and takes no scales"),
        ("logits = [0, 3]", "scales = [1.0]",
         "problems.1: a bernoulli toy is swept over logits = [...], not empty, and takes no scales"),
        ('family = "bernoulli", latents = 2', 'family = "gaussian", latents = 2',
         "problems.1: a gaussian toy is swept over scales = [...], not empty, and takes no logits"),
        ("latents = 2, logits", "latents = 16, categories = 4, logits",
         "problems.1: categories belongs to categorical latents, and only to them"),
        ('family = "bernoulli", latents = 2', 'family = "categorical", latents = 16, categories = 64',
         "problems.1: its exact gradient would take 64^16 joint states, more than 65536"),
        ("architecture = [8]", 'bound = "iwae"',
         'problems.0: importance_samples = K belongs to bound = "iwae", and only to it'),
    ],
)  # fmt: skip
def test_faults_are_one_line(old: str, new: str, message: str) -> None:
    """Where, what was typed, and what is expected; the first of several."""
    assert old in SMALL
    with pytest.raises(BadInput) as caught:
        parse_suite(SMALL.replace(old, new, 1).encode(), "small.toml")
    assert str(caught.value) == f"small.toml: {message}"


class Pairs(Config):
    """Settings of somebody else's, which want two numbers at least."""

    numbers: Annotated[tuple[int, ...], Field(min_length=2)]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([1], "numbers: Tuple should have at least 2 items after validation, not 1, got [1]"),
        ([], "numbers is empty; it needs at least one item"),
        ([1, "x"], "numbers.1: Input should be a valid integer, unable to parse string as an integer, got 'x'"),
    ],
)
def test_a_list_that_is_too_short_is_a_fault_of_its_own(numbers: list[Any], message: str) -> None:
    """Unless its items are at fault."""
    with pytest.raises(ValidationError) as caught:
        Pairs.model_validate({"numbers": numbers})
    assert explain(caught.value, {"numbers": numbers}) == message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[training", "Expected ']' at the end of a table declaration (at end of document)"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_what_is_no_toml_is_one_line(text: bytes, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_suite(text, "small.toml")
    assert str(caught.value) == f"small.toml is not valid TOML: {reason}"


EXTREMES = [
    ("seeds", 1, 0),
    ("seeds", 1000, 1001),
    ("threads", 1, 0),
    ("samples", 1, 0),
    ("f_evals", 1, 0),
    ("f_evals", 100_000, 100_001),
    ("f_evals", [6, 2], [6, 2, 6]),
    ("f_evals", [1], []),
    ("f_evals", [2], [2, 0]),
    ("f_evals", [3], [3, True]),
    ("training.steps", 4, 3),  # the last checkpoint
    ("training.batch", 1, 0),
    ("training.learning_rate", 1e-9, 0),
    ("training.own_learning_rate", 1e-9, 0),
    ("elbo.evaluations", 1, 0),
    ("elbo.evaluation_rows", 1, 0),
    ("elbo.evaluation_samples", 1, 0),
    ("elbo.iwae_samples", 1, 0),
    ("moments.draws", 3, 2),
    ("moments.rows", 3, 2),
    ("moments.checkpoints", [0], [-1]),
    ("moments.reference_draws", 1000, 999),
    ("moments.trajectory_seed", 0, -1),
    ("moments.warm_up", 0, -1),
    ("time.stacked", 1, 0),
    ("time.rounds", 5, 4),
    ("time.warm_up", 1, 0),
    ("problems.0.latents", 1, 0),
    ("problems.0.latents", 4096, 4097),
    ("problems.0.architecture", [1, 4096], [0]),
    ("problems.1.latents", 1, 0),
    ("problems.1.latents", 16, 17),
    ("problems.1.logits", [0, 50], [-0.1]),
    ("problems.1.logits", [50], [50.1]),
    ("name", "0-a", "-a"),
]


@pytest.mark.parametrize(("key", "allowed", "refused"), EXTREMES, ids=[f"{key}={bad}" for key, _, bad in EXTREMES])
def test_numbers_have_limits(key: str, allowed: Any, refused: Any) -> None:
    def suite(value: Any) -> Suite:
        table = tomllib.loads(SMALL)
        if key == "f_evals":
            del table["samples"]
        *path, last = key.split(".")
        inner: Any = table
        for part in path:
            inner = inner[int(part)] if isinstance(inner, list) else inner[part]
        inner[last] = value
        return Suite.model_validate(table)

    suite(allowed)
    with pytest.raises(ValidationError):
        suite(refused)


@pytest.mark.parametrize(
    ("estimators", "old", "new", "message"),
    [
        (["rlo"], "", "", "unknown estimator 'rlo'; did you mean 'rloo'?"),
        (["rloo[sampels=4]"], "", "", "unknown option of estimator 'rloo': 'sampels'; did you mean 'samples'?"),
        (["disarm[samples=3]"], "", "", "even number of samples"),
        (["lax"], "", "", "fits no problem of the suite: it is for gaussian latents, not bernoulli"),
        (["rloo"], '"digits"', '"mnist-statik"', "unknown data set 'mnist-statik'; did you mean 'mnist-static' or "
         "'omniglot-static'? Known: 13 names (gradest list datasets, or module:Name)"),
        (["rloo"], "batch = 10", "batch = 5000", f"training.batch = 5000 {LARGEST}"),
        (["rloo"], "draws = 40", "draws = 40\nrows = 2000", f"moments.rows = 2000 {LARGEST}"),
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
    with pytest.raises(BadInput) as caught:
        load_suite("quik")
    assert str(caught.value) == (
        "unknown suite 'quik'; did you mean 'quick'? Known: budgets, catalogue, disarm, disarm-variance, dreg, hooper, "
        "hooper-int, mc-gradients, mnist-linear, mnist-linear-elbo, mnist-small, quick, random-tables, reinmax, relax, "
        "rodeo, sharpness, timing (or a path that ends in .toml)"
    )
    with pytest.raises(BadInput, match=r"no such file: 'nowhere/mine.toml', nor 'nowhere'"):
        load_suite("nowhere/mine.toml")
    with pytest.raises(BadInput) as caught:
        override(_small(), device="cudda")
    assert str(caught.value) == "unknown device 'cudda'; did you mean 'cuda'? Known: cpu, cuda (gradest doctor)"
    with pytest.raises(BadInput, match=r"^seeds: Input should be greater than or equal to 1, got 0$"):
        override(_small(), seeds=0)
    with pytest.raises(BadInput, match=r"^estimators\.0: cannot read estimator 'rloo\['; expected NAME or NAME\["):
        override(_small(), estimators=["rloo["])


def test_suites_are_read_from_paths(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL)
    assert load_suite(str(path)).name == "small"
    path.write_text(SMALL.replace("seeds", "seds"))
    with pytest.raises(BadInput, match=r"^mine\.toml: unknown key 'seds'"):
        load_suite(str(path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rloo", {"name": "rloo", "samples": None, "options": {}}),
        ("rloo[samples=4]", {"name": "rloo", "samples": 4, "options": {}}),
        ("a.b:C[x=0.5, flag=true, word=two-words]",
         {"name": "a.b:C", "samples": None, "options": {"x": 0.5, "flag": True, "word": "two-words"}}),
        ("rloo[]", {"name": "rloo", "samples": None, "options": {}}),
        ('a[ n = -3 ,e=1e-3, off=false, nothing=null, quoted="7",last=a=b,]', {"name": "a", "samples": None, "options":
         {"n": -3, "e": 0.001, "off": False, "nothing": "null", "quoted": "7", "last": "a=b"}}),
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
