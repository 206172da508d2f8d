"""The published texts as wholes, and every sentence of the findings with its numbers worked out beside it."""

import math
import re
import statistics
from pathlib import Path

import pytest
import scipy.stats

from bench.report.figures.reading import READING
from bench.report.findings import FIRST, TRAINED, TRAINED_ALONE
from tests.bench.golden.publish import EXPECTED, RUNS, TABLES, Outline, outline, printed, publish, texts

Z = scipy.stats.norm.ppf(0.975)
WIDER = scipy.stats.norm.ppf(1 - 0.025 / 2) / Z
"""An interval that holds over two comparisons beside one of a single one."""


def check_page(folder: Path) -> None:
    """The cells, captions and files that lie beside it."""
    page = Outline((folder / "report.html").read_text())
    cells = [re.split(r"<td(?: class=(?:left|left who|who))?>", line)[1:] for line in page.lines if "<td" in line]
    expected = [list(row.values()) for table in TABLES for row in printed(folder, table)]
    assert cells[-len(expected) :] == expected  # those before are of cells that are not ok
    shown = re.findall(r"<figure id=figure-(\S+?)[ >]", "\n".join(page.lines))
    _, reading, *written = (folder / "figures" / "captions.md").read_text().split("\n\n## ")
    assert reading == "How to read the figures\n\n" + "\n".join(f"- {sentence}" for sentence in READING)
    plain = (re.sub(r"\\(.)", r"\1", text.strip()) for text in written)
    captions = dict(re.sub(" +", " ", text).split("\n\n")[:2] for text in plain)  # a page shows spaces as one
    assert dict(zip(shown, map(str.strip, page.captions), strict=True)) == captions
    assert {path.stem for path in folder.glob("figures/*.png")} == captions.keys()


def findings(page: str) -> dict[str, list[str]]:
    """Topic -> its sentences, each with its points; code between backticks.

    What limits a report stands in lines of its own, which open into the rest of their sentences; who trained best, in
    the answer.
    """
    lines = re.sub("</?code>", "`", outline(page)).splitlines()
    parts = {name: _texts(lines, name) for name in ("answer", "doubts", "findings")}
    found: dict[str, list[str]] = {}
    if parts["doubts"]:
        found[FIRST] = []
    for tag, text in parts["doubts"]:
        if tag == "summary":
            head = text
        elif tag == "p":
            found[FIRST].append(f"{head}: {text}")
        elif tag == "li" and text:
            found[FIRST].append(text)
    for tag, text in parts["findings"]:
        if tag == "h3":
            found[text.partition(" <a ")[0].partition("<a ")[0].strip()] = []
        elif tag == "li":
            found[[*found][-1]].append(text)
    trained = [text.removeprefix(f"{TRAINED}: ") for _, text in parts["answer"] if text.startswith(f"{TRAINED}: ")]
    return found | ({TRAINED: trained} if trained else {})


def _texts(lines: list[str], name: str) -> list[tuple[str, str]]:
    """The tags of a section of the page with their texts; none where it has no such section."""
    start = next((i for i, line in enumerate(lines) if f"<h2 id={name}>" in line), len(lines))
    indent = " " * 6 + "<section"
    stop = next(
        (i for i, line in enumerate(lines) if i > start and line.startswith((indent, "      <div"))), len(lines)
    )
    return [re.fullmatch(r" *<(\w+).*?>(.*)", line).groups() for line in lines[start + 1 : stop]]  # type: ignore


def noise(k: int) -> str:
    """What the noise of rows k + 1/2 is of that of 3 k, the ends of both at 3/4 and 3/2 of them."""
    log_se = math.log(2) / 2 / Z
    return around((k + 0.5) / (3 * k), log_se, log_se)


def around(value: float, *log_ses: float, digits: int = 3) -> str:
    """A ratio of independent quantities with its interval: their log errors add in squares."""
    factor = math.exp(Z * math.hypot(*log_ses))
    return f"{value:.{digits}f} [{value / factor:.{digits}f}, {value * factor:.{digits}f}]"


def judged(above: tuple[int, float, float], below: tuple[int, float, float], digits: int = 3) -> str:
    """A ratio of second halves, each of (k, variance, log error): k / 64 above it, half as sure and so 1.5 times it."""
    (k, own, own_se), (other_k, other, other_se) = above, below
    ratio = own * (1 + k / 64) / (other * (1 + other_k / 64))
    return around(ratio, 1.5 * own_se, 1.5 * other_se, digits=digits)


def mean(*values: float, digits: int = 1) -> str:
    """A mean over seeds with Student's interval."""
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    centre = statistics.mean(values)
    return f"{centre:.{digits}f} [{centre - half:.{digits}f}, {centre + half:.{digits}f}]"


def floors(*seen: float) -> str:
    """What a bias test of each estimator would have seen: half of them the median, all of them the largest."""
    half, most = 100 * statistics.median(seen), 100 * max(seen)
    return (
        f"A bias of {half:.1f} % of the gradient would have shown in half of them, of {most:.{most < 10:d}f} % in all."
    )


LOWEST = "Lowest variance"
NOTICED = "Would training notice?"
ONE_POINT = (
    "Variances at a step are of one training and one minibatch: their intervals hold the draws alone, and say nothing "
    "of others; `trajectories` and `minibatches` in [moments] replicate them."
)


def few_seeds(seeds: str, problems: str) -> str:
    return (
        f"ELBOs of {seeds} seeds on {problems}: a table to publish wants 10 or more, and what differs by less than the "
        "detectable difference of the ELBO table is not told apart."
    )


def rising(problem: str, counted: str, most: str) -> str:
    return (
        f"Training on {problem} ends while the test ELBO still rises, for {counted} estimators: by 10.0 [10.0, 10.0] "
        f"nats over the last 150 of its 200 steps for `{most}`, the most. Longer runs may rank them otherwise."
    )


JUDGED = "; half of the draws choose whose ratio is told, the others tell it"
SPENT = "at 2 evaluations of f a row"
UNITS = ", variance of the encoder's gradient in units of the minibatch's, which is"
EFFICIENT = "Highest efficiency, 1 / (variance x seconds)"
DIGITS = "digits/bernoulli-3/8"
REBAR, RELAX, STRAIGHT = "`rebar, temperature 0.5, tied`", "`relax, no eta`", "`straight-through, no hard-forward` †"

FINDINGS = {
    "quick": {
        FIRST: [
            "Timed while the machine did something else (load 2.5 on 2 cores), and so not ranked: "
            f"{REBAR} on {DIGITS}.",
            # 10 of 16 ms; its quartiles are 3/4 and 3/2 of that
            f"The floor of {REBAR} on {DIGITS} is not one: its step took 0.625 [0.469, 0.938] of it (median and "
            "quartiles over rounds), so that it bounds nothing there.",
            "2 cells of 28: failed; see the list below.",
            "1 cell of 28: out of memory; see the list below.",
            f"Seeds that diverged, left out of means: {REBAR} 2 of 5 on {DIGITS}; `rloo` 1 of 5 on {DIGITS}; `bitflip` "
            f"2 of 2 on {DIGITS}.",
            # 7 estimators at 3 checkpoints, 2 at one
            "Heavy tails at 2 of 23 points, where the variance intervals are optimistic or missing: `bitflip`.",
            ONE_POINT,
            few_seeds("1 to 5", f"{DIGITS}, mnist/gaussian-3"),
            # every curve rises by 10 between its last two evaluations
            rising(DIGITS, "4 of 4", "exact"),
            rising("mnist/gaussian-3", "2 of 2", "pathwise"),
            # of 6 unbiased estimators at 3 checkpoints, one of them not tested at one; and 2 more
            f"{RELAX} is declared unbiased but was measured against its tag on {DIGITS} at step 100: bias 25 % "
            "[12 %, 50 %] of the gradient's norm, p = 1.0e-9 (threshold p < 0.01 / 19).",
            "2 tests of unbiased estimators differ, but with tails too heavy to tell; see the bias table.",
        ],
        "Bias": [
            f"{STRAIGHT}, declared biased: seen at 2 of 3 points, at most 50 % [25 %, 100 %] of the gradient's norm, "
            f"on {DIGITS} at step 1000.",
        ],
        LOWEST: [
            f"{DIGITS} {SPENT}, of 5 unbiased estimators{JUDGED}:",  # `exact`, without noise, spends 8
            # The halves that choose are v (1 - k / 64): 3.75 and 15.75 of disarm and rloo, 14.75 and 31 at step 100.
            f"step 0: `disarm`, {judged((4, 4, 0.04), (1, 16, 0.03))} of rloo",
            f"step 100: `disarm` (not told apart from `bitflip`), {judged((5, 16, 0.08), (2, 32, 0.06))} of rloo",
            # There 1.59 of rebar and 1.48 of relax, which therefore is judged, though not the lowest of all.
            f"step 1000: {REBAR} (not told apart from {RELAX}), {RELAX} {judged((22, 2.25, 0.05), (3, 8, 0.03))} "
            "of rloo",
            f"mnist/gaussian-3 {SPENT}, of 2 unbiased estimators:",
            "step 0: `pathwise`",
        ],
        NOTICED: [
            f"{DIGITS} at step 1000{UNITS} 123 [92, 184]; evaluations of f a row in parentheses:",
            f"below it: `exact` (8) {noise(41)}, {STRAIGHT} (2) {noise(37)}, `bitflip` (2) {noise(33)}, {RELAX} (2) "
            f"{noise(22)}, {REBAR} (2) {noise(13)}, `disarm` (2) {noise(6)}, `rloo` (2) {noise(3)}",
            f"mnist/gaussian-3 at step 0{UNITS} 132 [99, 198]:",
            f"below it: `weak-derivative` {noise(44)}, `pathwise` {noise(43)}",
        ],
        TRAINED: [
            f"{DIGITS} {SPENT}: `disarm`, {mean(-98, -99, -101, -104, -97)}; not compared, as seeds of the first "
            f"diverged or are missing: {STRAIGHT}, {REBAR} and `rloo`.",
            f"mnist/gaussian-3 {SPENT}: `pathwise`, {mean(-80, -82)}; not compared, as seeds of the first diverged or "
            "are missing: `weak-derivative`.",
        ],
        TRAINED_ALONE: [
            f"{DIGITS}, compared with none, as no other estimator spends as many evaluations of f a row: `exact` (8).",
        ],
        EFFICIENT: [
            # variance 8 at 6 plain steps over 2.25 at 8
            f"{DIGITS} at step 1000 {SPENT} and a batch of 40, of 3 noisy unbiased estimators: {RELAX}, "
            f"{around(8 * 6 / (2.25 * 8), *(WIDER * x for x in (0.03, 0.04, 0.05, 0.03)), digits=2)} times rloo "
            "(95 % over all of them at once).",
        ],
    },
    "toys": {
        FIRST: ["1 cell of 20: failed; see the list below."],
        "Bias": [
            "No unbiased estimator was measured against its tag in 17 tests (p < 0.01 / 17). "
            + floors(3e-8, *(k / 256 for k in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 19))),
            f"{STRAIGHT}, declared biased: seen at 2 of 2 points, at most 12 % [6.2 %, 25 %] of the gradient's norm, "
            "on plain.",
        ],
        LOWEST: [
            f"cubic/bernoulli-3 {SPENT}, of 4 unbiased estimators{JUDGED}:",
            "|logit| 0 to 2: `rloo, S=2`",
            f"|logit| 5: `rloo, S=4`, {judged((6, 16, 0.08), (3, 64, 0.06))} of rloo",
            f"exp/gaussian-1 {SPENT}, of 3 unbiased estimators{JUDGED}:",
            # 2 to 8 at scale 0.5 and 4 to 8 at 0.25; at 0.125 rloo was not measured
            f"scale 0.125 to 0.5: `pathwise`, {2 * 77 / (8 * 79):.3f} to {4 * 76 / (8 * 83):.3f} of rloo",
        ],
    },
    "mixed": {
        FIRST: [
            "Timed while the machine did something else (load 2.2 to 4.5 on 2 to 4 cores), and so not ranked: `rloo`, "
            "`bitflip` on busy.",
            "Timed while the machine did something else (load 2.8 on 2 cores), and so not ranked: `rloo` on a-toy.",
            "The floor of `disarm` on older is not one: its step took 0.500 [0.375, 0.750] of it (median and quartiles "
            "over rounds), so that it bounds nothing there.",
            "The floor of `rloo` on a-toy is not one: its step took 0.500 [0.375, 0.750] of it (median and quartiles "
            "over rounds), so that it bounds nothing there.",
            "Seeds that diverged, left out of means: `rloo` 1 of 3 on a-toy.",
            "Heavy tails at 2 of 20 points, where the variance intervals are optimistic or missing: `disarm`, "
            "`pathwise, S=5`.",
            "1 record left out of runs/one: an older one of the same cell.",
            "1 record left out of runs/two: failed, where a record of the same thing went well.",
            "Records of more than one version of the source stand together here: `disarm`.",
            ONE_POINT,
            few_seeds("3", "older, a-toy"),
        ],
        "Bias": [
            # half the width of an older record's interval is 1 or 4, the gradient's norm 4
            "No unbiased estimator was measured against its tag in 18 tests (p < 0.01 / 18). "
            + floors(1 / 4, 2 / 4, *(k / 256 for k in (*range(1, 16), 18))),
            f"{STRAIGHT}, declared biased: seen at 0 of 1 point.",
        ],
        LOWEST: [
            f"bound (K=2) {SPENT}, of 1 unbiased estimator:",
            "step 3: `pathwise, S=2`",
            f"bound (K=5) {SPENT}, of 1 unbiased estimator:",
            "step 3: `pathwise, S=5`, with heavy tails",
            f"busy {SPENT}, of 2 unbiased estimators{JUDGED}:",
            f"step 3: `disarm`, {judged((2, 4, 0.04), (1, 8, 0.03))} of rloo",
            f"devices (device=cpu) {SPENT}, of 2 unbiased estimators:",
            "step 3: `rloo`",
            f"devices (device=cuda) {SPENT}, of 2 unbiased estimators{JUDGED}:",
            f"step 3: `disarm`, {judged((9, 2, 0.08), (7, 32, 0.06), digits=4)} of rloo",
            "older, of 2 unbiased estimators:",
            "step 7: `disarm`",  # no halves were recorded, and what chose it does not judge it
            f"own {SPENT}, of 2 unbiased estimators:",
            "step 3: `rloo`",
            f"twin (entropy=analytic, latents=4) {SPENT}, of 1 unbiased estimator:",
            "step 3: `same[c=x]`",
            f"twin (entropy=analytic, latents=4) (warm_up=5) {SPENT}, of 1 unbiased estimator:",
            "step 3: `same[c=x]`",
            f"twin (entropy=sampled, latents=3) {SPENT}, of 1 unbiased estimator:",
            "step 3: `same[b=x]`",
            f"a-toy {SPENT}, of 2 unbiased estimators:",
            "`rloo`",
        ],
        NOTICED: [
            line
            for place, minibatch, of_all in (
                ("bound (K=2)", "42.0 [31.5, 63.0]", (("`pathwise, S=2`", 14),)),
                ("bound (K=5)", "39.0 [29.2, 58.5]", (("`pathwise, S=5`", 13),)),
                ("busy", "6.00 [4.50, 9.00]", (("`disarm`", 2), ("`rloo`", 1))),
                ("devices (device=cpu)", "24.0 [18.0, 36.0]", (("`disarm`", 8), ("`rloo`", 6), ("`rloo`", 5))),
                ("devices (device=cuda)", "27.0 [20.2, 40.5]", (("`disarm`", 9), ("`rloo`", 7))),
                ("own", "51.0 [38.2, 76.5]", ((STRAIGHT, 17), ("`disarm`", 4), ("`rloo`", 3))),
                ("twin (entropy=analytic, latents=4)", "33.0 [24.8, 49.5]", (("`same[c=x]`", 11),)),
                ("twin (entropy=analytic, latents=4) (warm_up=5)", "36.0 [27.0, 54.0]", (("`same[c=x]`", 12),)),
                ("twin (entropy=sampled, latents=3)", "30.0 [22.5, 45.0]", (("`same[b=x]`", 10),)),
            )
            for line in (
                f"{place} at step 3{UNITS} {minibatch}:",
                f"below it: {', '.join(f'{name} {noise(k)}' for name, k in of_all)}",
            )
        ],
        TRAINED: [
            # paired: 10, 9 and 8
            f"older: `disarm`, {mean(-50, -53, -56)}; next `rloo`, 9.00 [6.52, 11.48] lower, paired over the 3 seeds "
            "that chose `disarm`.",
            f"a-toy {SPENT}: `rloo`, {mean(-6, -10, digits=0)} (1 of 3 seeds diverged).",
        ],
        EFFICIENT: [
            f"busy at step 3 {SPENT}, of 1 noisy unbiased estimator: `disarm`.",
            f"devices (device=cpu, machine=left, threads=2) at step 3 {SPENT}, of 1 noisy unbiased estimator: `rloo`.",
            f"devices (device=cuda, machine=left, threads=1) at step 3 {SPENT}, of 2 noisy unbiased estimators: "
            "`disarm`, "
            f"{around(32 * 6 / (2 * 3), 0.06, 0.08, 0.04, 0.09, digits=1)} times rloo.",
            "older at step 7, of 2 noisy unbiased estimators: `disarm`, "
            f"{around(8 * 4 / (2 * 2), 0.03, 0.04, digits=2)} times rloo (the interval leaves the clock out).",
            f"own at step 3 {SPENT}, of 2 noisy unbiased estimators: `rloo`.",
            f"a-toy {SPENT}, of 1 noisy unbiased estimator: `disarm`.",
        ],
    },
}


@pytest.mark.parametrize("run", RUNS)
def test_findings_page_and_tables(tmp_path: Path, run: str) -> None:
    publish(run, tmp_path)
    found = findings((tmp_path / "report.html").read_text())
    assert found == FINDINGS[run]
    assert [topic for topic in found if topic != TRAINED] == [topic for topic in FINDINGS[run] if topic != TRAINED]
    check_page(tmp_path)
    whole = texts(run, tmp_path)
    assert set(whole) == {str(path.relative_to(EXPECTED)) for path in (EXPECTED / run).iterdir()}
    for name, text in whole.items():
        assert text == (EXPECTED / name).read_text(), name
