"""What an estimator is in a suite or on the command line: its name, its draws and its options."""

import pytest
from pydantic import SerializeAsAny, ValidationError

from bench.config import Config, EstimatorConfig, added_later, parse_estimator
from bench.suite.load import parse_suite
from estimators import BadInput


@pytest.mark.parametrize(
    ("text", "samples", "options"),
    [
        ("rloo", None, {}),
        ("rloo[]", None, {}),
        ("rloo[samples=4]", 4, {}),
        ("rloo[ a = 1 , samples=2, b=2.5 ]", 2, {"a": 1, "b": 2.5}),
        ("rloo[a=1e-3,b=-2,c=true,d=false]", None, {"a": 0.001, "b": -2, "c": True, "d": False}),
        ('rloo[a="1",b=word,c=two words,d=x=y]', None, {"a": "1", "b": "word", "c": "two words", "d": "x=y"}),
        ("rloo[a=null,b=True,c={}]", None, {"a": "null", "b": "True", "c": "{}"}),
        ("rloo[a=1,,b=2,]", None, {"a": 1, "b": 2}),
    ],
)
def test_an_estimator_is_read_as_it_was_typed(text: str, samples: int | None, options: dict[str, object]) -> None:
    found = parse_estimator(text)
    assert found == {"name": "rloo", "samples": samples, "options": options}
    assert [type(value) for value in found["options"].values()] == [type(value) for value in options.values()]
    config = EstimatorConfig.model_validate(text)
    assert (config.name, config.samples, config.options) == ("rloo", samples, options)


def test_what_cannot_be_read_says_what_was_typed() -> None:
    with pytest.raises(ValueError, match=r"cannot read estimator 'rloo\[a=1'; expected NAME or NAME\[key=value,...\]"):
        parse_estimator("rloo[a=1")
    with pytest.raises(ValueError, match="cannot read option 'a' of estimator 'rloo'; expected key=value"):
        parse_estimator("rloo[b=1,a]")


def test_create_takes_the_options_and_the_draws_where_they_are_given() -> None:
    assert EstimatorConfig(name="a", options={"x": 1}).arguments() == {"x": 1}
    assert EstimatorConfig(name="a", samples=3, options={"x": 1}).arguments() == {"x": 1, "samples": 3}
    assert EstimatorConfig(name="a", samples=0).arguments() == {"samples": 0}, "for the registry to refuse"


def test_a_label_is_the_estimator_as_typed_with_its_keys_in_order() -> None:
    assert EstimatorConfig(name="a").label == "a"
    assert EstimatorConfig(name="a", samples=3, options={"z": 0.5, "b": True}).label == "a[b=true,samples=3,z=0.5]"
    assert EstimatorConfig(name="a", samples=3, label="mine").label == "mine"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"options": {"samples": 3}}, "samples is a key beside options, not among them"),
        ({"options": {"stack": 3}}, "stack is no option of estimator 'a': a run sizes it for its problem"),
        ({"options": {"context_size": 3}}, "context_size is no option of estimator 'a'"),
        ({"options": {"like": 3}}, "like is no option of estimator 'a'"),
        ({"options": {"x": float("nan")}}, "finite number"),
        ({"sample": 3}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_no_option_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EstimatorConfig.model_validate({"name": "a"} | given)


def test_a_configuration_does_not_change() -> None:
    config = EstimatorConfig(name="a")
    with pytest.raises(ValidationError, match="frozen"):
        config.name = "b"


class _Old(Config):
    """What a release wrote."""

    rounds: int = 3


class _New(_Old):
    """With a setting of a later release."""

    precision: str = added_later("highest")


class _Whole(Config):
    part: SerializeAsAny[_Old]
    fast: bool | str = added_later("auto")


def test_a_setting_that_was_added_later_is_written_only_where_it_is_not_the_default() -> None:
    """However it came by the default, inside another part too, and read back as it was."""
    before = {"part": {"rounds": 3}}
    for untouched in (_Whole(part=_New()), _Whole(part=_New(precision="highest"), fast="auto")):
        assert untouched.model_dump() == untouched.model_dump(mode="json") == before
        assert _Whole.model_validate(before | {"part": _New()}) == untouched
    changed = _Whole(part=_New(precision="high"), fast=False)
    written = {"part": {"rounds": 3, "precision": "high"}, "fast": False}
    assert changed.model_dump(mode="json") == written
    with pytest.raises(ValidationError, match="Input should be a valid string"):
        _New.model_validate({"precision": 1})


@pytest.mark.parametrize("key", ["learning_rate", "steps", "batch"])
def test_true_is_no_number(key: str) -> None:
    """Python takes it for a 1, and a suite was trained with it."""
    text = 'name = "n"\ntitle = "n"\nproblems = [{kind = "vae", dataset = "digits", family = "bernoulli", latents = 4}]'
    text += f'\nestimators = ["rloo"]\n[training]\n{key} = true\n[elbo]\nevaluations = 1\n'
    with pytest.raises(BadInput, match=f"training: {key} = true is no number"):
        parse_suite(text.encode(), "n.toml")


def test_true_is_no_number_in_a_list_either_and_may_be_where_it_is_asked_for() -> None:
    problem = '{kind = "vae", dataset = "digits", family = "bernoulli", latents = 4, centre_input = false}'
    text = (
        f'name = "n"\ntitle = "n"\nproblems = [{problem}]\nestimators = ["rloo"]\n[training]\ncompile = true\n[elbo]\n'
    )
    assert parse_suite(text.encode(), "n.toml").training.compile is True
    with pytest.raises(BadInput, match="learning_rates = true is no number"):
        parse_suite((text + "learning_rates = [1e-3, true]\n").encode(), "n.toml")
