"""What an estimator is in a suite or on the command line: its name, its draws and its options."""

import pytest
from pydantic import ValidationError

from bench.config import EstimatorConfig, parse_estimator


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
