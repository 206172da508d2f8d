"""The page of the atlas, made of its table alone."""

from collections import Counter
from collections.abc import Sequence

from bench.atlas.table import EVALUATIONS, SHARPNESS, Averaged, Integral
from bench.report.text import number
from bench.studies import results
from bench.studies.atlas.problems import SHOWN
from bench.studies.atlas.ranks import (
    BUDGETS,
    CLEAR,
    FLAT,
    FLOOR,
    SEVERAL,
    SHARP,
    Cells,
    compared,
    groups,
    levels,
    unbiased,
    winner,
)

MARK = "*"
"""Stands at estimators that ask more of f than its values at draws."""
MOST_SHOWN = 3
"""Reversals that are listed a family."""


def markdown(table: Sequence[Integral], averages: Sequence[Averaged], made: str) -> str:
    """The page."""
    cells = unbiased(averages)
    families = list(dict.fromkeys(one.family for one in table))
    exact = sum(not average.of.reason for average in averages)
    wrong = max((one.bias for one in table if one.unbiased and not one.reason), default=0.0)
    return results.page(
        "Atlas",
        "Bias and standard deviation of every registered estimator, relative to the length of the exact gradient of "
        "q's parameters, on small problems: no samples, but integrals over the estimator's noise. Two quadrature rules "
        "of different order agree on each number; `tolerance` is by how much. "
        f"{exact} of {len(averages)} rows are exact. The largest bias found of an estimator declared unbiased is "
        f"{wrong:.0e} of the gradient.",
        f"Made by `tox -e atlas`; {made}. One row of it: `gradest atlas --logit 6 --latents 4 --f-evals 2`.",
        _how(),
        *(block for family in families for block in _winners(cells, family)),
        *_reversals(cells, families),
        *_missing(table),
    )


def _how() -> str:
    sharpness = ", ".join(f"{level:g}" for level in SHARPNESS)
    spent = ", ".join(map(str, EVALUATIONS))
    return "\n".join(
        [
            "## How to read it\n",
            f"- Sharpness {sharpness}: |logit| of every latent, signs alternating; of categorical latents the logit of "
            "one class, the others 0; of Gaussians s, for scales of 2 / 10^(s/8) down to a third of it.",
            "- Objectives are those of the certificates: quadratic, cubic, coupled quadratic, a frozen tanh network "
            f"(`{SHOWN}`) and one with log q inside (`entropy`). They are few and fixed: a rank here is a fact about "
            "them, and no mean over problems that somebody may have.",
            "- Each objective has mean 0 and standard deviation 1 over q at its start, which flatters what has no "
            "baseline: add a constant to f, and `reinforce` is worse while `rloo` stays as it is.",
            f"- Equal evaluations of f, {spent}: an estimate of m evaluations is repeated r = floor(budget / m) "
            "times, and the mean has the same bias and exactly 1 / r of the variance. Where an estimator has larger "
            "numbers of samples that could be integrated, the one with the least root mean squared error stands; "
            "`samples` and `repeats` say which. Evaluations left over are not used.",
            f"- Evaluations are those that an estimator declares. A gradient of f, or f at a relaxed point, costs "
            f"more than a value and is not to be had for every f: `{MARK}` marks the estimators that ask for one.",
            "- Bounds over K draws (`-iwae-K`) are objectives of their own, all with log q inside: K is no number of "
            "samples there.",
            "- Parameters of an estimator's own are as they start, not learned, so that what learns shows no better "
            "than its first step; what is annealed stands at step 120, and running means of f have settled "
            "over as many minibatches of 64 rows at the same q. They are of one problem, so that estimators which have "
            f"them stand at `{SHOWN}` alone, with their least number of samples; and those minibatches are not "
            "counted, so that they are in the table (`settled`), and left out of the ranks below.",
            "- A row without a number has its reason: too many nodes for the time of this study, mostly. It says "
            "nothing about the estimator.",
        ]
    )


def _winners(cells: Cells, family: str) -> list[str]:
    latents, sharpness = levels(cells, family)
    blocks = [f"## Best unbiased estimator: {family}"]
    for budget in BUDGETS:
        rows = []
        for level in sharpness:
            own = [cells.get(((family, shape, SHOWN, level), budget), []) for shape in latents]
            rows.append([f"{level:g}", *(_cell(found) for found in own)])
        blocks += [
            f"At {budget} evaluations, objective {SHOWN}: relative standard deviation, then the next estimator. "
            "Of a tie, the first by name; `0 of N`: N of them have no noise at all.",
            results.table(["sharpness", *(f"latents {shape}" for shape in latents)], rows),
        ]
    return blocks


def _cell(found: Sequence[Averaged]) -> str:
    if found and winner(found)[0] == SEVERAL:
        return f"0 of {sum(average.deviation <= FLOOR for average in found)}"
    second = [a for a in found if a.of.estimator != found[0].of.estimator]
    words = [f"{_name(a.of)} {number(a.deviation) if a.deviation > FLOOR else '0'}" for a in (*found[:1], *second[:1])]
    return "; ".join(words) or "-"


def _name(one: Integral) -> str:
    return one.label + (MARK if one.needs in ("gradient of f", "relaxed f") else "")


def _reversals(cells: Cells, families: Sequence[str]) -> list[str]:
    shares, rows = [], []
    for family in families:
        of_family = [group for group in groups(cells) if group[0] == family and group[3] in BUDGETS]
        found = {group: compared(cells, *group) for group in of_family}
        pairs, turned = sum(c.pairs for c in found.values()), sum(len(c.reversed) for c in found.values())
        shares.append([family, str(pairs), str(turned), f"{turned / pairs:.0%}" if pairs else "-"])
        seen: set[tuple[str, str]] = set()
        best = sorted(((r, g) for g, c in found.items() for r in c.reversed), key=lambda item: -item[0].size)
        for reversal, (_, latents, objective, budget) in best:
            if (reversal.first, reversal.second) not in seen and len(seen) < MOST_SHOWN:
                seen.add((reversal.first, reversal.second))
                words = [reversal.first, reversal.second, number(reversal.flat), number(reversal.sharp)]
                rows.append([family, latents, objective, str(budget), *words])
    return [
        f"## Where ranks reverse between sharpness {FLAT:g} and {SHARP:g}",
        f"Pairs of unbiased estimators with their defaults at {' and '.join(map(str, BUDGETS))} evaluations, over "
        f"all shapes and objectives, whose deviations differ by a factor of {CLEAR:g} or more at both ends, and how "
        "many of them change places:",
        results.table(["family", "pairs", "reversed", "share"], shares),
        f"The largest: how many times the deviation of the first the second has at {FLAT:g}, and the first that of the "
        f"second at {SHARP:g}.",
        results.table(
            ["family", "latents", "objective", "evaluations", "first", "second", f"at {FLAT:g}", f"at {SHARP:g}"],
            rows,
        ),
    ]


def _missing(table: Sequence[Integral]) -> list[str]:
    rows = []
    names = dict.fromkeys((one.label, one.family) for one in table)
    for label, family in names:
        own = [one for one in table if (one.label, one.family) == (label, family)]
        least = {one.problem: one.samples for one in reversed(own)}
        own = [one for one in own if one.samples == least[one.problem]]
        reasons = Counter(_kind(one.reason) for one in own if one.reason)
        if reasons:
            without = list(dict.fromkeys(one.latents for one in own if one.reason))
            reason, _ = reasons.most_common(1)[0]
            rows.append([label, family, f"{sum(reasons.values())} of {len(own)}", ", ".join(without), reason])
    return [
        "## What could not be integrated",
        "Of the least number of samples: rows without a number, in which shapes, and the commonest reason.",
        results.table(["estimator", "family", "rows", "latents", "reason"], rows),
    ]


def _kind(reason: str) -> str:
    """A reason without its numbers."""
    kinds = {"the product": "too many nodes", "its noise has": "too many cells", "two rules": "two rules differ"}
    return next((kind for start, kind in kinds.items() if reason.startswith(start)), reason)
