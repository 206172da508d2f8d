"""What `gradest.compare` and its points refuse, each in one line: what cannot be measured, or is of the wrong type."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Normal, OneHotCategorical
from torch.nn import functional as F

import gradest
from bench.run.folder import title_of_run
from bench.run.store import Store
from tests.bench.library import DOUBLE, QUICK, bits, cubic, square
from tests.bench.scripted import Scripted


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((bits(),), {}, r"the point is of type Bernoulli; .*; for a q and its f write \(q, f\)"),
        (((bits(), cubic, 3),), {}, "the point is a tuple of 3; expected Point"),
        ((lambda: 3,), {}, "the point is of type int; expected Point"),
        (((bits(), 3),), {}, "f is of type int; expected a function"),
        (((3, cubic),), {}, "q is of type int; expected a torch.distributions object"),
        (((torch.distributions.Geometric(torch.rand(3)), cubic),), {}, "q is a Geometric; expected Normal"),
        (((Bernoulli(logits=torch.zeros(0, 3)), cubic),), {}, "q has no rows to measure at"),
        (((bits(), lambda z, q: z),), {}, r"f returned \[3, 3, 2\] .* sum over the event"),
        (((bits(), lambda z, q: F.dropout(z.sum(-1))),), {}, r"f has noise of its own \(dropout\)"),
        (((bits(), lambda z, q: z.sum(-1) - q.entropy().sum(-1)),), {}, "f holds an entropy of q"),
        (((bits(), cubic), ["rlo"]), {}, "unknown estimator 'rlo'; did you mean 'rloo'"),
        (((bits(), cubic), ["rloo[a=1]"]), {}, "unknown option of estimator 'rloo': 'a'"),
        (((bits(), cubic), ["rloo", "rloo"]), {}, "'rloo' is given twice"),
        (((bits(), cubic), [nn.Linear(1, 1)]), {}, "Linear is no estimator; expected labels such as 'rloo'"),
        (((bits(), cubic), [Scripted(torch.zeros(1))]), {}, r"Scripted is not registered: put @register"),
        (((bits(), cubic), ["reparameterization"]), {}, "none of the estimators can be measured here: reparameteriz"),
        (((bits(), cubic),), {"draws": 2}, "draws = 2 is no whole number of at least 3"),
        (((bits(), cubic),), {"draws": True}, "draws = True is no whole number"),
        (((bits(), cubic),), {"f_evals": 0}, "f_evals = 0 is no whole number of at least 1"),
        (((bits(), cubic),), {"seed": 1.5}, "seed = 1.5 is no whole number"),
        (((bits(), cubic),), {"f_evals": 10**9}, "f_evals = 1000000000 is more than 100000"),
        (((bits(), cubic), []), {}, "estimators is empty; leave it out"),
        (((bits(), cubic), 3), {}, "estimators is of type int; expected a list"),
        (((bits(), cubic), ["rloo[samples=2,samples=4]"]), {}, "samples is given twice"),
        (((bits(), cubic), ["rloo"]), {"reference": None}, "reference is of type NoneType; expected 'auto'"),
        (((bits(), cubic), ["rloo"]), {"measure": 3}, "measure is 3; expected names"),
        (((OneHotCategorical(logits=torch.zeros(3)), square), ["rloo"]), {}, "give its parameters a first dim of 1"),
        (((bits(), lambda z, q: cubic(z, q) + cubic(z, q).roll(1, -1)),), {}, "f mixes its rows"),
        (((bits(), cubic),), {"minibatches": 2}, "minibatches = 2 is no whole number of at least 3"),
        (((bits(), cubic), ["rloo"]), {"reference": "straight-through"}, "'straight-through' is declared biased"),
        (((bits(), cubic), ["rloo"]), {"reference": "reparameterization"}, "latents, not bernoulli"),
        (((bits(1, 40), cubic), ["rloo"]), {"reference": "exact"}, r"q has 1\.1e\+12 joint states, more than 65536"),
        (
            ((Normal(torch.zeros(1, 1), 1.0), lambda z, q: z.relu().sum(-1)), ["rloo"]),
            {"reference": "exact"},
            "a quadrature does not converge",
        ),
        (((bits(), cubic), ["rloo"]), {"measure": ["moments"]}, "measure = 'moments' is a table of a suite"),
        (((bits(), cubic), ["rloo"]), {"measure": "calibration"}, "unknown measurement 'calibration'"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(gradest.BadInput, match=message) as caught:
        gradest.compare(*arguments, **{**QUICK, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"through": nn.Linear(2, 2)}, "q's parameters do not depend on any weight of through"),
        ({"through": 3}, "through is of type int; expected a module or a list of tensors"),
        ({"context": torch.zeros(4, 2)}, r"context is \[4, 2\] for rows \[3\] of q"),
        ({"closed_form": lambda q: q.entropy()}, r"closed_form returned \[3, 2\] for q of rows \[3\]"),
        ({"closed_form": 3.0}, "closed_form is of type float; expected a function"),
        ({"closed_form": lambda: 1}, "closed_form raises TypeError: "),
        (
            {"closed_form": lambda q: bits().entropy().sum(-1)},
            "closed_form does not depend on its argument: ",
        ),
        ({"expectation": lambda q: torch.ones(3)}, "expectation does not depend on its argument"),
        ({"expectation": lambda q: 3}, r"expectation returned a int for q of rows \[3\]"),
        ({"context": [1.0]}, "context is of type list; expected a tensor"),
        ({"name": 3}, "name = 3; expected a word"),
        ({"closed_form": lambda q: torch.rand(3)}, "closed_form has noise of its own"),
    ],
)
def test_a_point_that_cannot_be_is_refused_when_it_is_made(options: Any, message: str) -> None:
    with pytest.raises(gradest.BadInput, match=message):
        gradest.Point(bits(), cubic, **options)


def test_minibatches_must_be_of_one_shape() -> None:
    rows = iter([3, 3, 2])
    with pytest.raises(gradest.BadInput, match=r"minibatches differ in rows: \[3\] and \[2\]; .*drop_last"):
        gradest.compare(lambda: (bits(next(rows)), cubic), ["rloo"], minibatches=3, **QUICK)


def test_gradients_are_taken_where_none_are_asked_for_but_not_in_inference_mode() -> None:
    with torch.no_grad():
        assert len(gradest.compare((bits(), cubic), ["rloo"], **QUICK).frame()) == 1
    with torch.inference_mode(), pytest.raises(gradest.BadInput, match="call it outside"):
        gradest.compare((bits(), cubic), ["rloo"], **QUICK)


@pytest.mark.parametrize("rows", [2, 5, 8])
@pytest.mark.parametrize("by", [-1, 1])
def test_rows_that_any_other_row_enters_are_refused(rows: int, by: int) -> None:
    """As in a chain, whose rows are steps: each but the first, or the last, sees its neighbour."""

    def chain(z: Tensor, q: Distribution) -> Tensor:
        neighbour = z.roll(by, -2).sum(-1)
        neighbour[..., 0 if by == 1 else -1] = 0
        return (z.sum(-1) - neighbour) ** 2

    assert "f mixes its rows" in gradest.examine(bits(rows), chain).refused[0]
    assert gradest.examine(bits(rows), cubic).ok


def test_a_minibatch_that_is_read_from_changing_state_is_refused() -> None:
    held = {"x": torch.zeros(3)}

    def make() -> gradest.Point:
        held["x"] = torch.rand(3, dtype=DOUBLE)
        return gradest.Point(bits(), lambda z, q: z.sum(-1) * held["x"])

    with pytest.raises(gradest.BadInput, match=r"changes when the next one is made, .* close over the rows of"):
        gradest.compare(make, ["rloo"], minibatches=3, **QUICK)
    few = iter([bits(), bits()])
    with pytest.raises(gradest.BadInput, match=r"making minibatch 3 of 5: it raised StopIteration"):
        gradest.compare(lambda: (next(few), cubic), ["rloo"], minibatches=5, **QUICK)


def test_a_term_of_a_minibatch_that_is_read_from_changing_state_is_refused() -> None:
    held = {"x": torch.zeros(())}

    def make() -> gradest.Point:
        held["x"] = x = torch.rand((), dtype=DOUBLE)
        return gradest.Point(bits(), lambda z, q: z.sum(-1) * x, expectation=lambda q: (q.probs * held["x"]).sum(-1))

    with pytest.raises(gradest.BadInput, match="changes when the next one is made"):
        gradest.compare(make, ["rloo"], minibatches=3, **QUICK)
    drops = nn.Dropout()
    with pytest.raises(gradest.BadInput, match=r"f has noise of its own \(dropout\)"):
        gradest.compare(lambda: (bits(), lambda z, q: drops(z).sum(-1)), ["rloo"], minibatches=3, **QUICK)


def test_q_is_not_held_in_any_form() -> None:
    """The probabilities that q was made of, from which torch derives its logits."""
    probs = torch.full((3, 2), 0.3, requires_grad=True)
    own = Bernoulli(probs=probs)
    for f in (lambda z, q: z.sum(-1) + own.probs.log().sum(-1), lambda z, q: z.sum(-1) + own.logits.sum(-1)):
        assert "f uses q by a name of its own" in gradest.examine(own, f).refused[0]
    with pytest.raises(gradest.BadInput, match="closed_form uses q by a name of its own beside its argument"):
        gradest.Point(own, cubic, closed_form=lambda q: q.entropy().sum(-1) - 9 * own.entropy().sum(-1))


@pytest.mark.parametrize("constant", [0.0, 1e4])
def test_a_constant_hides_no_mixing(constant: float) -> None:
    q = Bernoulli(logits=torch.linspace(-1, 1, 12).reshape(6, 2))

    def mixing(z: Tensor, q: Distribution) -> Tensor:
        y = z.sum(-1)
        return constant + (y - y.mean(-1, keepdim=True)) ** 2

    assert "f mixes its rows" in gradest.examine(q, mixing).refused[0]
    assert gradest.examine(q, lambda z, q: constant + z.sum(-1) ** 2).ok


def test_two_points_of_one_name_do_not_share_a_folder(tmp_path: Path) -> None:
    first = gradest.compare((bits(), cubic), ["rloo"], **QUICK)
    second = gradest.compare((bits(), square), ["rloo"], **QUICK)
    more = gradest.compare((bits(), cubic), ["disarm"], **QUICK)
    first.save(tmp_path)
    more.save(tmp_path)
    assert len(Store(tmp_path).records()) == 2
    with pytest.raises(gradest.BadInput, match="holds a comparison at another point called 'point'"):
        second.save(tmp_path)


def test_weights_that_f_holds_too_are_refused() -> None:
    tied = nn.Linear(4, 2).double()
    q = Bernoulli(logits=tied(torch.ones(3, 4, dtype=DOUBLE)))
    with pytest.raises(gradest.BadInput, match="f holds weights of through too, as a tied decoder does"):
        gradest.Point(q, lambda z, q: (z @ tied.weight).sum(-1), through=tied)
    q.logits.sum().backward()
    with pytest.raises(gradest.BadInput, match=r"the graph of q's parameters is gone .*: make q anew"):
        gradest.Point(q, cubic, through=tied)


def test_a_folder_of_a_suite_keeps_its_suite(tmp_path: Path) -> None:
    comparison = gradest.compare((bits(), cubic), ["rloo"], **QUICK)
    (tmp_path / "suite.toml").write_text('name = "mine"\n')
    with pytest.raises(gradest.BadInput, match="holds a run of a suite, which would be written over"):
        comparison.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["suite.toml"]
    assert (tmp_path / "suite.toml").read_text() == 'name = "mine"\n'


def test_a_name_is_a_word_of_any_language_in_one_line(tmp_path: Path) -> None:
    point = gradest.Point(bits(), cubic, name="\N{PARTY POPPER} \N{CJK UNIFIED IDEOGRAPH-6F22}")
    saved = gradest.compare(point, ["rloo"], **QUICK).save(tmp_path)
    assert title_of_run(saved) == f"Gradient estimators at {point.name}"
    for name, why in (("a\nb", "character 2 is a control character"), ("a" * 201, "at most 200 characters")):
        with pytest.raises(gradest.BadInput, match=f"^name = .*{why}") as refused:
            gradest.Point(bits(), cubic, name=name)
        assert len(str(refused.value).splitlines()) == 1


def test_a_folder_is_asked_for(tmp_path: Path) -> None:
    comparison = gradest.compare((bits(), cubic), ["rloo"], **QUICK)
    (tmp_path / "file").touch()
    for path in ("", tmp_path / "file"):
        with pytest.raises(gradest.BadInput, match=r"cannot save into .*: expected a folder"):
            comparison.save(path)
    with pytest.raises(gradest.BadInput, match="unknown figure 'varience'; did you mean 'variance'"):
        comparison.plot("varience")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradest.create(3), "cannot read estimator 3; expected NAME"),
        (lambda: gradest.check("rloo", draws=0), "draws = 0 is no whole number of at least 1"),
        (lambda: gradest.gradient_moments("rloo", bits(), cubic), "'rloo' is no estimator; make one"),
        (lambda: gradest.exact_moments("rloo", bits(), cubic), "'rloo' is no estimator; make one"),
        (lambda: gradest.check(gradest.create("rloo")), "rloo.samples=2. is no name and no entry of an estimator"),
    ],
)
def test_what_is_no_label_is_said(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(gradest.BadInput, match=message):
        call()
