"""The pages of the estimators: made of texts and records, and those that lie in docs/ are what the command makes."""

import inspect
import math
import re
from pathlib import Path

import numpy as np
import pytest

import estimators
from bench.atlas.table import Integral
from bench.studies.estimator_pages import certificates, figure, moments, page, ranks, site, texts, verdicts
from estimators import Estimate, Estimator
from estimators.entry import Entry, entry_of
from estimators.errors import BadInput

PAGES = Path(__file__).parents[2] / "docs" / "estimators"
OURS = estimators.available()


def test_the_pages_are_what_the_command_makes() -> None:
    """`python -m bench.studies.estimator_pages docs/estimators` mends them where this fails."""
    made = site.pages()
    assert sorted(made) == sorted(path.name for path in PAGES.glob("*.md"))
    assert sorted(made) == sorted([f"{entry.name}.md" for entry in OURS] + [f"{site.OVERVIEW}.md"])
    for name, text in made.items():
        assert (PAGES / name).read_text() == text, name
    config = (PAGES.parents[1] / "mkdocs.yml").read_text()
    assert site.navigated(config) == config
    assert all(f"estimators/{name}" in config for name in made)


def test_a_page_has_the_figure_that_it_shows_and_it_is_small() -> None:
    shown = {found for path in PAGES.glob("*.md") for found in re.findall(r"\(figures/(.*?)\)", path.read_text())}
    files = {path.name: path.stat().st_size for path in (PAGES / "figures").iterdir()}
    assert shown == set(files) and len(shown) > 40
    assert max(files.values()) <= 15_000


def test_a_figure_is_the_same_bytes_again_and_names_its_curves() -> None:
    found = site.facts(site.ROOT)["reinmax"].beside
    drawn = figure.svg("reinmax", found)
    assert drawn == figure.svg("reinmax", found)
    words = re.findall(r"<text[^>]*>(.*?)</text>", drawn.decode())
    committed = re.findall(r"<text[^>]*>(.*?)</text>", (PAGES / "figures" / "reinmax.svg").read_text())
    assert words == committed
    assert {"reinmax", "reinmax, bias", "rloo", "|logit| of every latent"} <= set(words)


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: entry.name)
def test_every_estimator_has_a_text_with_all_its_parts(entry: Entry) -> None:
    text = texts.read(entry.name)
    assert text.formula and text.algorithm and text.use and text.avoid
    assert len(text.formula.splitlines()) <= 8
    own = texts.parsed((texts.FOLDER / f"{entry.name}.md").read_text(), entry.name).options
    assert set(own) <= set(page.options(entry)) <= set(text.options)
    # What is measured comes from records: a condition holds no share, ratio or rank.
    assert not re.search(r"\d\.\d|%|\d times", " ".join([*text.use, *text.avoid]))
    named = re.findall(r"`([a-z-]+)`", " ".join([*text.use, *text.avoid, *text.options.values()]))
    assert {name for name in named if "-" in name} <= {other.name for other in OURS}


def test_no_text_is_of_an_estimator_that_is_no_more() -> None:
    known = {path.stem for path in texts.FOLDER.glob("*.md")} - {texts.SHARED.stem}
    assert known == {entry.name for entry in OURS}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("## Algorithm\n\n    a\n\n## Formula\n\n    b\n", "in this order"),
        ("## Formula\n\n    a\n\n## Formula\n\n    a\n", "each once"),
        ("## Formulae\n\n    a\n", "expected the sections"),
        ("a\n\n## Formula\n\n    a\n", "expected the sections"),
        ("## Formula\n\ng = 1\n", "indented by four spaces"),
        ("## Options\n\n* samples: many\n", "`- name: meaning`"),
        ("## Use when\n\nalways\n", "begin with `- `"),
    ],
)
def test_a_text_of_another_layout_is_refused_by_its_name(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=re.escape(words)) as raised:
        texts.parsed(text, "mine.md")
    assert str(raised.value).startswith("mine.md")


class Mine(Estimator):
    """Of a third party, without a text."""

    def __init__(self, samples: int = 1, gain: float = 2.0) -> None:
        super().__init__(samples)

    def estimate(self, q: object, f: object, noise: object) -> Estimate:
        raise NotImplementedError


def test_an_estimator_without_a_text_or_a_record_has_a_page_of_its_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = entry_of(Mine, "mine", unbiased=True, families=["poisson"], f_evals=lambda s: 3 * s, needs="gradient of f")
    monkeypatch.setattr(verdicts, "shifted", lambda entry: False)
    empty = page.Facts(entry, "Others", texts.read("mine"), [], [], moments.missing(entry, {}), [], [])
    text = page.page(empty)
    assert "## Formula" not in text and "\n# mine\n" in text and "`3 * S`" in text
    assert "| `gain` | `2.0` |  |" in text and "- f gives values only: its gradient in z is asked for." in text
    assert "No exact number for poisson latents: the atlas has no problem of this family." in text
    assert "No published run has it." in text and "`gradest check mine` makes one." in text


def integral(name: str, deviation: float, cost: int, bias: float = 0.0, latents: str = "2", **more: object) -> Integral:
    unbiased, settled = bias == 0, False
    at = {"family": "bernoulli", "latents": latents, "objective": "mlp", "sharpness": 6.0, **more}
    shared = (name, "", unbiased, "", settled)
    problem = (at["family"], at["latents"], at["objective"], at["sharpness"])
    return Integral(*shared, *problem, cost, cost, bias, deviation, 1e-12, 9, str(at.get("reason", "")))  # type: ignore[arg-type]


def test_errors_are_held_against_the_references_at_equal_evaluations() -> None:
    """Two evaluations pay for two repeats of what costs one: its variance halves, its bias does not."""
    table = moments.index([integral("rloo", 2.0, 2), integral("reinmax", 1.0, 1, bias=0.5)])
    (found,) = moments.beside(estimators.get("reinmax"), table)
    assert (found.family, found.latents, found.f_evals, found.reference[0]) == ("bernoulli", "2", 2, "rloo")
    assert found.ratio(6.0) == pytest.approx((1 / 2 + 0.25) / 4)
    assert found.ratio(3.0) is None
    (alone,) = moments.beside(estimators.get("rloo"), table)
    assert alone.references == {} and alone.ratio(6.0) is None
    pathwise = [integral(name, 1.0, 2, family="gaussian") for name in ("rloo", "reparameterization", "delta-method")]
    (gaussian,) = moments.beside(estimators.get("delta-method"), moments.index(pathwise))
    assert list(gaussian.references) == ["rloo", "reparameterization"] and gaussian.reference[0] == "reparameterization"


def test_the_largest_problem_stands_that_is_known_at_all_levels() -> None:
    rows = [integral(name, 1.0, 2, sharpness=s) for name in ("rloo", "disarm") for s in moments.LEVELS]
    rows += [integral("disarm", 1.0, 2, latents="4", sharpness=6.0)]
    rows += [integral("disarm", math.nan, 2, latents="6", sharpness=6.0, reason="too many nodes")]
    (found,) = moments.beside(estimators.get("disarm"), moments.index(rows))
    assert found.latents == "2" and sorted(found.own) == [0.0, 3.0, 6.0]
    lost = [integral("disarm", math.nan, 2, reason="too many nodes")]
    assert moments.missing(estimators.get("disarm"), moments.index(lost)) == {"bernoulli": "too many nodes"}


@pytest.mark.parametrize(("name", "depends"), [("reinforce", True), ("rloo", False), ("arm", False), ("vimco", False)])
def test_whose_noise_depends_on_the_mean_of_f_is_seen(name: str, depends: bool) -> None:
    assert verdicts.shifted(estimators.get(name)) is depends


def test_ranks_are_the_places_that_comparisons_leave_open() -> None:
    lower = {(0, 1), (0, 3), (2, 3)}
    assert ranks.ranks(4, lambda i, j: (i, j) in lower) == [(1, 2), (2, 4), (1, 3), (3, 4)]
    assert ranks.ranks(1, lambda i, j: False) == [(1, 1)]


def test_paired_units_tell_what_their_differences_show() -> None:
    """Student's quantile for one of two, 4 degrees of freedom, is 2.776 at 97.5 %."""
    noise, steps = np.array([3.0, -8.0, 5.0, 1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0, 0.0])
    per = steps.std(ddof=1) / math.sqrt(5)
    told = ranks.paired([noise, noise + steps + 2.78 * per])
    assert told(0, 1) and not told(1, 0) and not told(0, 0)
    assert not ranks.paired([noise, noise + steps + 2.77 * per])(0, 1)
    # Of three, each is compared with two others: 3.495 at 98.75 %.
    others = [noise, noise + steps + 3.0 * per, noise + 100 * steps]
    assert not ranks.paired(others)(0, 1)


def test_certificates_are_told_by_how_they_were_decided() -> None:
    def row(check: str, quantity: str, value: float, problems: int, label: str = "x", **more: str) -> dict[str, str]:
        numbers = {"value": str(value), "problems": str(problems), "low": "0.1", "high": "0.3", "level": "6"}
        about = {"estimator": label, "family": "poisson", "check": check, "status": "passed", "objective": "cubic"}
        return {**about, "quantity": quantity, **numbers, **more}

    rows = [
        row("unbiased", "bias not excluded by proof", 1e-9, 3),
        row("unbiased", "bias not excluded by proof", 1e-12, 4),
        row("unbiased", "bound of the bias", 0.02, 5),
        row("dtype", "verdict", math.nan, 0, status="failed"),
    ]
    biased = [row("bias", "bias", value, 0, "x[a=1]", level=level) for value, level in ((0.2, "6"), (0.1, "1"))]
    first, second = certificates.of("x", {"x": rows, "x[a=1]": biased, "xy": rows})
    assert first.decided[:2] == ((7, 1e-9), (5, 0.02)) and first.decided[2].problems == 0
    assert (first.label, first.failed, first.worst) == ("x", ("dtype",), ())
    (worst,) = second.worst
    assert (worst.bias, worst.level) == (0.2, 6.0) and page.size(worst) == "20 % [10 %, 30 %]"


def test_random_tables_stand_as_one_row_of_all_their_places() -> None:
    def one(section: str, best: int, worst: int, ratio: float) -> ranks.Measured:
        place = ranks.Place("|logit| 0", best, worst, 6, "", ratio, f"{ratio}", "")
        return ranks.Measured("run", section, "x", 2.0, "rloo", 2.0, (place, place))

    tables = [one(f"random/bits/table-{n}", n, n + 1, 0.1 * n) for n in (1, 2, 3)]
    alone = one("cubic/bernoulli-4", 1, 1, 0.5)
    found = ranks.merged([*tables, alone])
    assert [row.section for row in found] == ["random/bits/table-1 to 3", "cubic/bernoulli-4"]
    assert len(found[0].places) == 2
    assert {(place.best, place.worst, place.shown) for place in found[0].places} == {(1, 4, "0.100 to 0.300")}
    assert found[1] == alone


def test_options_are_those_of_the_class() -> None:
    for entry in OURS:
        assert set(page.options(entry)) == {*inspect.signature(entry.cls).parameters, "samples"}
    assert page.options(estimators.get("arms")) == {"samples": 4, "copula": "dirichlet"}
