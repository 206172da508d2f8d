"""The Markdown of an estimator's page, and of the table of all of them."""

import inspect
import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bench.report.summary import RELATIVE_TO
from bench.report.text import count, number, percent, percent_interval, plural
from bench.studies import estimators_page
from bench.studies.atlas.figures import LATENTS, SWEPT
from bench.studies.atlas.ranks import FLOOR
from bench.studies.estimator_pages.certificates import ROUNDING, Certified, Decided, Worst
from bench.studies.estimator_pages.moments import LEVELS, Beside
from bench.studies.estimator_pages.ranks import RUNS, Measured, Place, Trained, merged
from bench.studies.estimator_pages.texts import Text
from bench.studies.estimator_pages.verdicts import avoid, learns, shifted, use
from estimators.entry import Entry
from estimators.errors import listed
from estimators.registry import available

WIDE = 74
"""Characters of a line of code that a page has room for."""
MADE = "<!-- Made by python -m bench.studies.estimator_pages docs/estimators; its texts are in bench/studies. -->"
NEEDS = {
    "neither": "its values at draws of q",
    "gradient of f": "its gradient in z, at draws of q",
    "relaxed f": "its values and gradient between the values of z too",
}


class Facts(NamedTuple):
    """All that a page is made of."""

    entry: Entry
    group: str
    """Heading of its table in docs/estimators.md."""
    text: Text
    certified: Sequence[Certified]
    beside: Sequence[Beside]
    missing: dict[str, str]
    measured: Sequence[Measured]
    trained: Sequence[Trained]


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells that are Markdown themselves."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def named(text: str, own: str) -> str:
    """A text with a link from every other estimator's name to its page."""
    known = {entry.name for entry in available()} - {own}

    def link(found: re.Match[str]) -> str:
        return f"[{found[0]}]({found[1]}.md)" if found[1] in known else found[0]

    return re.sub(r"`([a-z-]+)`", link, text)


def linked(paper: str) -> str:
    """A paper with links to arXiv."""
    return re.sub(r"arXiv:([\d.]+\d)", r"[arXiv:\1](https://arxiv.org/abs/\1)", paper)


def page(facts: Facts) -> str:
    """The page of one estimator."""
    blocks = [MADE, f"# {facts.entry.name}", *_head(facts)]
    for title, part in (
        ("Formula", list(_method(facts))),
        ("Options", list(_options(facts))),
        ("Use when", list(_conditions(facts))),
        ("Certificate", list(_certificate(facts))),
        ("Exact variance", list(_exact(facts))),
        ("Measured rank", list(_ranks(facts))),
        ("Paper", [linked(facts.entry.paper) + "."] if facts.entry.paper else []),
    ):
        if part:
            blocks += [f"## {title}", *part]
    return "\n\n".join(blocks) + "\n"


def _head(facts: Facts) -> Iterator[str]:
    entry = facts.entry
    yield entry.summary[:1].upper() + entry.summary[1:] + "."
    parameters = ", own parameters learned by the auxiliary loss" if entry.own_parameters else ""
    source = entry.cls.__module__.replace(".", "/")
    said = {
        "Method": f"{entry.method or 'not said'}{', a negative control' * entry.negative_control}",
        "Families": ", ".join(entry.families),
        "Objective": "the importance-weighted bound of `samples` draws" if entry.bound == "iwae" else "E_q[f]",
        "Unbiased": "yes" if entry.unbiased else "no",
        "Asks of f": NEEDS.get(str(entry.needs), "not said") + parameters,
        "Evaluations of f a row": estimators_page.evaluations(entry) or "not said",
        "Draws a row": f"{entry.samples.words()}; {entry.samples.default} by default",
        "Code": f"`{source}.py`",
    }
    yield "\n".join(f"- **{key}**: {value}" for key, value in said.items())


def _fenced(text: str) -> str:
    """A block of code whose lines fit into the column of a page."""
    lines = [textwrap.wrap(line, WIDE, subsequent_indent="    ", break_long_words=False) for line in text.split("\n")]
    return "\n".join(["```text", *(part for line in lines for part in line or [""]), "```"])


def _method(facts: Facts) -> Iterator[str]:
    text, is_bound = facts.text, facts.entry.bound == "iwae"
    objective = "E[-log mean_k exp(-f(z_k, q))], K = S draws," if is_bound else "E_q[f]"
    if text.formula:
        yield _fenced(text.formula)
        yield (
            f"g estimates the gradient of {objective} in q's parameters; S is `samples`. f's own parameters get theirs "
            "from the same draws."
        )
    if text.algorithm:
        yield "### Algorithm"
        yield _fenced(text.algorithm)


def options(entry: Entry) -> dict[str, Any]:
    """Options by name with their defaults, `samples` first."""
    own = {name: parameter.default for name, parameter in inspect.signature(entry.cls).parameters.items()}
    return {**own, "samples": entry.samples.default}


def _options(facts: Facts) -> Iterator[str]:
    def cell(name: str, default: object) -> list[str]:
        meaning = facts.text.options.get(name, "")
        lost = facts.entry.biased_options.get(name)
        meaning += f" Set, it gives up unbiasedness: it {lost}." if lost else ""
        shown = f"`{default}`" if default is not None else ""
        return [f"`{name}`", shown, named(meaning, facts.entry.name)]

    yield table(("option", "default", "meaning"), [cell(*one) for one in options(facts.entry).items()])
    given = {name: value for name, value in list(options(facts.entry).items())[:2] if value is not None}
    example = ",".join(f"{name}={str(value).lower()}" for name, value in given.items())
    yield f"On the command line: `-e '{facts.entry.name}[{example}]'`."


def _conditions(facts: Facts) -> Iterator[str]:
    speaks_for = (*facts.text.use, *use(facts.entry, facts.beside))
    yield named("\n".join(f"- {line}" for line in speaks_for), facts.entry.name)
    yield "### Avoid when"
    worst = [one for certified in facts.certified for one in certified.worst if certified.label == facts.entry.name]
    against = (*facts.text.avoid, *avoid(facts.entry, facts.beside, worst))
    yield named("\n".join(f"- {line}" for line in against), facts.entry.name)


def _certificate(facts: Facts) -> Iterator[str]:
    if not facts.certified:
        yield f"None is published. `gradest check {facts.entry.name}` makes one."
        return
    if facts.entry.unbiased:
        yield (
            "The mean gradient against the exact one, on small problems of each family ([how](../certificates.md)): "
            "*proved* by integration over the noise; *bounded* by Sobol points, with 99 % confidence each; *sampled*: "
            "the bias that would have been seen with 99 % chance. All are the largest over problems, relative to the "
            "exact gradient's length."
        )
        rows = [
            [f"`{one.label}`", one.family, _outcome(one, "certified"), *map(_decided, one.decided, ("to", "<", "~"))]
            for one in facts.certified
            if not one.worst
        ]
        yield table(("estimator", "family", "outcome", "proved", "bounded", "sampled"), rows)
    biased = [one for one in facts.certified if one.worst]
    if biased:
        yield (
            "Declared biased, and measured: the largest bias over sizes and |logit| or sharpness, relative to the "
            "exact gradient's length there, exact or with its interval. Problems with costs of a millionth are among "
            "them, beside whose gradient any term of the method's own is large."
        )
        rows = [[f"`{o.label}`", o.family, _none(o), "; ".join(map(_worst, _some(o)))] for o in biased]
        yield table(("estimator", "family", "no bias on", "largest bias"), rows)


def _outcome(one: Certified, word: str) -> str:
    return f"refuted: {', '.join(one.failed)}" if one.failed else word


def _decided(one: Decided, word: str) -> str:
    if not one.problems:
        return ""
    size = f"{one.largest:.0e}" if word == "to" else percent(one.largest)
    return f"{one.problems} problems, {word} {size}"


def _none(one: Certified) -> str:
    return ", ".join(sorted(worst.objective for worst in one.worst if worst.high < ROUNDING)) or "none"


def _some(one: Certified) -> list[Worst]:
    return [worst for worst in one.worst if worst.high >= ROUNDING]


def _worst(one: Worst) -> str:
    return f"{one.objective} {size(one)} at {one.level:g}"


def size(one: Worst) -> str:
    """A bias in words, with its interval where it has a width."""
    if one.bias > 10:
        return f"{number(one.bias, 2)} times"
    exact = one.high - one.low <= 1e-3 * one.bias
    return percent(one.bias) if exact else percent_interval(one.bias, max(one.low, 0.0), one.high)


def _exact(facts: Facts) -> Iterator[str]:
    name = facts.entry.name
    for beside in facts.beside:
        other, _ = beside.reference
        biased = any(not one.of.unbiased for one in beside.own.values())
        titles = [f"at {SWEPT[beside.family]}", "samples x repeats", f"variance of `{name}`"]
        titles += ["bias", "mean squared error"] * biased
        titles += [f"variance of `{other}`", "ratio"] if other else []
        where = LATENTS[beside.family].format(beside.latents)
        where = where.removesuffix("s") if beside.latents == "1" else where
        yield f"**{beside.family}**, {where}, {plural(beside.f_evals, 'evaluation')} of f:"
        yield table(titles, [_row(beside, level, biased) for level in LEVELS])
    if facts.beside:
        if any(one.own and max(_all_deviations(one)) > FLOOR for one in facts.beside):
            yield f"![Deviation of {name} over sharpness, beside its references](figures/{name}.svg)"
            yield "The figure has the square roots of these numbers, at all points of the atlas."
        yield " ".join(_caveats(facts))
    for reason in dict.fromkeys(facts.missing.values()):
        lacking = [family for family, own in facts.missing.items() if own == reason]
        yield f"No exact number for {listed(lacking)} latents: {reason}."


def _caveats(facts: Facts) -> Iterator[str]:
    """What the exact numbers are, and what they flatter."""
    own = [average.of for beside in facts.beside for average in beside.own.values()]
    yield "Trace of the covariance over the squared length of the exact gradient, of q's parameters."
    held = ", with log q inside, in the bound of two draws" if facts.entry.bound == "iwae" else ", without log q inside"
    yield f"f is the atlas's frozen tanh network{held}."
    tolerance = max(beside.tolerance for beside in facts.beside)
    yield f"Exact: integrals over the noise, to {tolerance:.0e} of that length, so that there are no intervals."
    yield "Samples and averaged repeats are the best of those integrated that these evaluations pay for."
    if _biased(facts):
        yield "The ratio is that of mean squared errors."
    if any(_still(beside) for beside in facts.beside):
        yield "*None*: no noise beyond rounding."
    known = {one.samples for one in own}
    if facts.entry.bound == "elbo" and facts.entry.samples.default not in known:
        default = facts.entry.samples.default
        yield f"It is known here with samples = {listed(sorted(map(str, known)))}, not with its default of {default}."
    if learns(facts.entry):
        yield "Its own parameters are as they start, not learned."
    if any(one.settled for one in own):
        yield "Its running means have settled at the same q, by evaluations that are not counted."
    if shifted(facts.entry):
        yield "f has mean 0 over q at the flattest point, which flatters an estimator that subtracts no baseline."


def _biased(facts: Facts) -> bool:
    return any(not average.of.unbiased for beside in facts.beside for average in beside.own.values())


def _all_deviations(beside: Beside) -> list[float]:
    return [average.error for average in beside.own.values()]


def _still(beside: Beside) -> bool:
    return any(average.deviation <= FLOOR for level, average in beside.own.items() if level in LEVELS)


def _row(beside: Beside, level: float, biased: bool) -> list[str]:
    own, (other, found) = beside.own.get(level), beside.reference
    if own is None:
        return [f"{level:g}", "", "not found", *["", ""] * biased, *[_variance(found, level), ""] * bool(other)]
    cells = [f"{level:g}", f"{own.of.samples} x {own.repeats}", _square(own.deviation)]
    cells += [percent(own.of.bias) if own.of.bias > FLOOR else "none", _square(own.error)] * biased
    ratio = beside.ratio(level)
    shown = "" if ratio is None else "0" if own.error <= FLOOR else number(ratio, 3)
    return cells + ([_variance(found, level), shown] if other else [])


def _variance(found: dict[float, Any], level: float) -> str:
    return _square(found[level].deviation) if level in found else "not found"


def _square(deviation: float) -> str:
    return "none" if deviation <= FLOOR else number(deviation**2, 4)


def _ranks(facts: Facts) -> Iterator[str]:
    if not facts.measured and not facts.trained:
        yield "No published run has it."
        return
    if facts.measured:
        yield (
            "Rank by variance among the unbiased estimators that spend as many evaluations of f a row, 1 the lowest, "
            "as a set: places that the draws or trajectories leave open, with a chance of at least 95 % for each set. "
            f"Beside it the variance over that of `{RELATIVE_TO}`, with its 95 % interval (Student's t over "
            "trajectories where there are several, else jackknife over draws); where the latter spends another number "
            "of evaluations, that stands in brackets. First, middle and last point of each problem; of several random "
            "tables, the first and the last place that it has on any, and the least and the largest ratio."
        )
        named = {one.label for one in facts.measured} != {facts.entry.name}
        for run in RUNS:
            own = [one for one in merged(facts.measured) if one.run == run]
            biased = any(place.bias for one in own for place in one.places)
            inside = sorted(own, key=lambda m: (m.section, m.label, m.f_evals))
            titles = ["problem", *["estimator"] * named, "evaluations", "at", "rank", "variance ratio"]
            if own:
                yield f"**`results/{run}`**:"
                rows = [row for one in inside for row in _measured(one, named, biased)]
                yield table(titles + ["bias"] * biased, rows)
    if facts.trained:
        yield (
            "By the test ELBO that it trains to, in nats, at its own best learning rate, rank 1 the highest, among all "
            "estimators at as many evaluations of f, biased ones too; paired over seeds, in the same way."
        )
        yield table(
            ("run and problem", "estimator", "evaluations", "seeds", "test ELBO", "above the reference", "rank"),
            [
                [
                    *(f"{one.run}: {one.section}", f"`{one.label}`", count(one.f_evals), str(one.seeds), one.elbo),
                    one.difference or "it is the reference",
                    _rank(one.best, one.worst, one.of) or "alone at this cost",
                ]
                for one in facts.trained
            ],
        )


def _measured(one: Measured, named: bool, biased: bool) -> Iterator[list[str]]:
    spent = count(one.f_evals)
    same = math.isnan(one.reference_f_evals) or one.reference_f_evals == one.f_evals
    spent += "" if same else f" ({one.reference} {count(one.reference_f_evals)})"
    for place in one.places:
        bias, shown = [place.bias] * biased, place.shown or "reference"
        yield [one.section, *[f"`{one.label}`"] * named, spent, place.point, _place(place), shown, *bias]


def _place(place: Place) -> str:
    return place.why or _rank(place.best, place.worst, place.of)


def _rank(best: int, worst: int, of: int) -> str:
    if not best:
        return ""
    return f"{best} of {of}" if best == worst else f"{best} to {worst} of {of}"


def overview(groups: dict[str, list[Entry]]) -> str:
    """The table of all estimators, by method."""
    blocks = [
        MADE,
        "# Estimators by method",
        "A page each: formula, options, certificate, exact variance, measured rank, when to use it and when not. "
        "[Estimators](../estimators.md) says what all of them share, and how to choose. *Cost* is evaluations of f a "
        "row, *families* those that it is for, or what it asks of one, and how many have that.",
    ]
    for title, entries in groups.items():
        rows = [
            [
                f"[{entry.name}]({entry.name}.md)",
                entry.summary,
                listed(entry.families) if entry.capability is None else f"{entry.capability} ({len(entry.families)})",
                "yes" if entry.unbiased else "no",
                estimators_page.NEEDS[entry.needs] + ", own parameters" * entry.own_parameters,
                estimators_page.evaluations(entry),
            ]
            for entry in entries
        ]
        blocks += [f"## {title}", table(("name", "what it is", "families", "unbiased", "needs", "cost"), rows)]
    return "\n\n".join(blocks) + "\n"
