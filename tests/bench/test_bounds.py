"""Every number, list and word that a person may give ends somewhere, with the reason in the message."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, get_type_hints

import pytest
from pydantic import ValidationError

from bench.bounds import AtMost, Few, printable, shown
from bench.config import Config, EstimatorConfig, _parts
from bench.measure.base import MEASUREMENTS
from bench.measure.basket import MomentsSettings
from bench.problems.base import PROBLEMS
from bench.problems.toys import ToyConfig, ToyPoint
from bench.suite.draws import draws_for, why_not
from bench.suite.load import parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Suite
from bench.training.settings import Optimisation
from estimators import BadInput, registry
from estimators.entry import Samples

ABSURD = (10**30, -(10**30), 1e300, -1e300, float("inf"), float("-inf"), float("nan"), "inf", int("9" * 4000))


def models() -> Iterator[type[Config]]:
    """All that a suite file is read into, found from the suite and the registries."""
    todo: list[Any] = [Suite, Optimisation, EstimatorConfig, *PROBLEMS.all().values(), *MEASUREMENTS.all().values()]
    seen: set[type[Config]] = set()
    while todo:
        model = todo.pop()
        if model in seen:
            continue
        seen.add(model)
        yield model
        for field in model.model_fields.values():
            todo += [p for p in _parts(field.annotation) if isinstance(p, type) and issubclass(p, Config)]


FIELDS = [
    pytest.param(model, name, id=f"{model.__name__}.{name}")
    for model in sorted(models(), key=lambda model: model.__name__)
    for name in model.model_fields
]


def refuses(model: type[Config], name: str, value: Any) -> bool:
    """Whether a model finds fault with this value of a field, whatever it says of those that are missing."""
    try:
        model.model_validate({name: value})
    except ValidationError as error:
        return any(fault["loc"][:1] == (name,) for fault in error.errors(include_input=False, include_url=False))
    return False


def test_the_walk_finds_what_a_suite_holds() -> None:
    found = {model.__name__ for model in models()}
    assert found >= {"Suite", "Optimisation", "EstimatorConfig", "ToyConfig", "VAEConfig", "MomentsSettings"}
    assert found >= {"ElboSettings", "TimeSettings"}


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_no_field_takes_a_number_list_or_word_without_end(model: type[Config], name: str) -> None:
    """A field that is added later and forgets its bounds is found here."""
    parts = [*_parts(get_type_hints(model, include_extras=True)[name])]
    if int in parts or float in parts:
        for value in ABSURD:
            assert refuses(model, name, value), f"{value!r:.20}"
            assert refuses(model, name, [value]), f"[{value!r:.20}]"
    if str in parts and name not in ("options", "measurements"):
        assert refuses(model, name, "a" * 10**5)
    if any(part in (tuple, list, dict) or getattr(part, "__origin__", None) in (tuple, list, dict) for part in parts):
        bounds = [most for part in parts for most in getattr(part, "__metadata__", ()) if isinstance(most, Few)]
        bounds += [most for most in model.model_fields[name].metadata if isinstance(most, Few)]
        assert bounds or refuses(model, name, [1 + i / 10**6 for i in range(10**5)]), "no end to its items"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"samples": 100_001}, "Input should be less than or equal to 100000 (a call of an estimator holds"),
        ({"options": {"beta": 1e10}}, "option beta takes numbers between -1000000000 and 1000000000"),
        ({"options": {"beta": float("nan")}}, "Input should be a finite number"),
        (
            {"options": {f"o{i}": 1 for i in range(51)}},
            "expected at most 50 items (no estimator has half as many), and",
        ),
        ({"options": {"a": "b" * 101}}, "option a takes at most 100 characters"),
        ({"options": {"a": "\x1b[2J"}}, "character 1 is a control character, U+001B: leave it out"),
        (
            {"options": {f"o{i:02}": "b" * 9 for i in range(20)}},
            "its name with its options has 285 characters: give it",
        ),
        ({"label": "a\nb"}, "character 2 is a control character, U+000A: leave it out"),
        ({"label": "a" * 201}, "expected at most 200 characters (it is to be read in a table), and there are 201"),
    ],
)
def test_an_estimator_says_what_is_beyond_it(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        EstimatorConfig(**{"name": "rloo", **given})
    assert said in str(raised.value)


def test_a_bound_itself_is_taken() -> None:
    assert AtMost(5, "so").checked(5) == 5
    assert Few(2, "so").checked("ab") == "ab"
    assert len(EstimatorConfig(name="a", label="b" * 200).label) == 200
    assert EstimatorConfig(name="a", samples=100_000).samples == 100_000


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a\x00", "character 2 is a control character, U+0000"),
        ("\x7f", "a control character, U+007F"),
        ("\x9b2J", "a control character, U+009B"),
        ("\udcff", "half a character, U+DCFF"),
        ("a\u2028b", "a line break, U+2028"),
        ("abc\u202egnp", "character 4 is a turn of direction, U+202E"),
    ],
)
def test_what_cannot_be_seen_is_refused_by_its_number(text: str, what: str) -> None:
    with pytest.raises(ValueError, match="leave it out") as raised:
        printable(text)
    assert what in str(raised.value)
    assert printable("é 名前 😀 a\u0301") == "é 名前 😀 a\u0301"


def test_a_value_is_shown_in_a_few_characters() -> None:
    deep: list[Any] = []
    for _ in range(10**5):
        deep = [deep]
    for value in (10**5000, "a" * 10**6, b"\xff" * 999, [*range(10**5)], {"a": 10**5000}, deep):
        assert len(shown(value)) <= 60
    assert shown("a") == "'a'"
    assert shown(-3) == "-3"
    assert shown(10**5000) == "a number of more than 60 digits"
    while deep:  # freed from the outside in, so that Python need not go down 100,000 levels
        deep = deep[0]


@pytest.mark.parametrize(
    "f_evals", [lambda s: s, lambda s: 2 * s + 1, lambda s, event: s * (event[0] + 1), lambda s: 7]
)
@pytest.mark.parametrize("samples", [Samples(), Samples(2, 2), Samples(3, 4, even=True)])
def test_draws_are_found_where_trying_each_finds_them(f_evals: Callable[..., int], samples: Samples) -> None:
    """Few numbers are tried, and yet the answer is that of all of them."""
    entry = replace(registry.get("rloo"), f_evals=f_evals, samples=samples)
    config, event = EstimatorConfig(name="rloo"), (3,)
    for evaluations in (1, 2, 3, 7, 99, 100, 101, 203, 401, 402, 403, 404, 998, 1001):
        allowed = [s for s in range(1, 2 * evaluations + 5) if samples.allow(s)]
        spent = {s: entry.evaluations(s, event) for s in allowed}
        first = next((s for s in allowed if spent[s] == evaluations), None)
        assert draws_for(evaluations, config, entry, event) == first
        if first is None:
            near = why_not(evaluations, config, entry, event).partition("nearest ")[2]
            below = [n for n in spent.values() if n is not None and n < evaluations]
            above = [n for n in spent.values() if n is not None and n > evaluations]
            assert [int(n) for n in re.findall(r"\d+", near)] == [*{max(below, default=0)} - {0}, *{*above[:1]}]


def test_the_most_evaluations_are_planned_at_once() -> None:
    """Each number of draws up to 100,000 was tried before, for each estimator on each problem."""
    calls = 0

    def f_evals(samples: int) -> int:
        nonlocal calls
        calls += 1
        return 3 * samples

    entry = replace(registry.get("rloo"), f_evals=f_evals)
    assert draws_for(99_999, EstimatorConfig(name="rloo"), entry, (3,)) == 33_333
    assert calls < 150


class Again(ToyConfig):
    """A problem whose points are not told apart."""

    def points(self) -> list[ToyPoint]:
        return super().points() * 2


def test_a_problem_that_gives_a_point_twice_is_refused() -> None:
    again = Again(kind="toy", objective="cubic", family="bernoulli", logits=(1.0,))
    suite = Suite(name="a", problems=(again,), estimators=("rloo",), moments=MomentsSettings())
    with pytest.raises(BadInput, match=r"asks for 'moments cubic/bernoulli-4 at \|logit\| 1 rloo' more than once"):
        plan(suite)


def test_a_suite_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    toys = [ToyConfig(kind="toy", objective="cubic", family="bernoulli", logits=(1.0,), label=str(i)) for i in range(3)]
    parts: dict[str, Any] = {"problems": toys, "estimators": ("rloo", "disarm"), "moments": MomentsSettings()}
    assert len(plan(Suite(name="a", **parts)).cells) == 6
    monkeypatch.setattr("bench.suite.plan.MOST_CELLS", 5)
    with pytest.raises(BadInput, match="more than 5 cells"):
        plan(Suite(name="a", **parts))
    monkeypatch.setattr("bench.suite.schema.MOST_PAIRS", 5)
    with pytest.raises(ValidationError, match="6 pairs of a problem and an estimator are more than 5"):
        Suite(name="a", **parts)


TOY = b'{kind = "toy", objective = "cubic", family = "bernoulli", logits = [1]}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"threads = " + b"9" * 5000, "s.toml is not valid TOML: Exceeds the limit (4300 digits) for integer"),
        (b"a = " + b"[" * 100_000, "s.toml nests lists or tables deeper than can be read"),
        (b'title = "\xff"', "s.toml is not valid TOML: 'utf-8' codec can't decode byte 0xff"),
        (b"threads = 1000000", "s.toml: threads: Input should be less than or equal to 1024 (no machine has"),
        (b"seeds = 0x" + b"f" * 9000, "s.toml: seeds: Input should be less than or equal to 1000 ("),
        (b"f_evals = 999999999", "s.toml: f_evals: expected a whole number from 1 to 100000, or a list of such, got"),
        (b"[elbo]\nevaluations = 1e400", "s.toml: elbo.evaluations: Input should be a finite number, got inf"),
    ],
    ids=range(7),
)
def test_what_a_file_says_is_answered_in_a_line(text: bytes, said: str) -> None:
    with pytest.raises(BadInput) as raised:
        parse_suite(b'name = "a"\nproblems = [' + TOY + b']\nestimators = ["rloo"]\nmoments = {}\n' + text, "s.toml")
    assert str(raised.value).startswith(said)
    assert len(str(raised.value)) <= 300
