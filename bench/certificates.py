"""The published certificates: every registered estimator, and how often chance refutes a correct one.

`python -m bench.certificates DIR` certifies all and writes certificates.csv and certificates.md; with `--repeat N` it
certifies a few correct estimators with N seeds each and writes certificates-null.csv and .md.
"""

import math
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from scipy import stats

from bench.cli.check import verdict, workers
from bench.report.tables.render import pipe
from bench.run.provenance import provenance
from bench.run.store import write_atomic
from estimators.checks import ALPHA, Certificate, Result, certify
from estimators.checks.certificate import DRAWS
from estimators.checks.grid import EVENTS, LEVELS
from estimators.registry import available, get

REPEATED = (("disarm", 2**12),)
"""Correct estimators whose certificates are repeated, and the draws a problem at most: cheap ones."""

Row = dict[str, Any]


def all_certificates(draws: int) -> Iterator[Certificate]:
    """Every registered estimator, with its defaults and with the variants that its tags name; a process a core."""
    wanted = [(entry.name, dict(options)) for entry in available() for options in ({}, *entry.variants)]
    with ProcessPoolExecutor(workers(), multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        yield from pool.map(partial(certify, draws=draws), *zip(*wanted, strict=True))


def tidy(certificate: Certificate) -> Iterator[Row]:
    """A row for each check, and one for each number that the bias check rests on."""
    for result in certificate.results:
        head = {"estimator": certificate.estimator, "declared": "unbiased" if certificate.unbiased else "biased"}
        head |= {"family": result.family, "check": result.check, "status": result.status}
        yield head | {"quantity": "verdict", "message": " ".join([result.message, *result.warnings])}
        for level, value in result.numbers.get("detectable", {}).get("by_level", {}).items():
            yield head | {"quantity": "detectable bias", "level": level, "value": value}
        if result.status == "passed":
            for pooled in result.numbers.get("pooled", ()):
                yield head | {"quantity": "detectable factor", "level": pooled["level"], "value": pooled["detectable"]}
        for objective, found in result.numbers.get("by_objective", {}).items():
            for case in found["by_level"]:
                ends = {"value": case["bias"], "low": case["low"], "high": case["high"]}
                yield head | {"quantity": "bias", "objective": objective, "level": case["level"]} | ends


COLUMNS = (
    "estimator", "family", "declared", "check", "status", "quantity", "objective", "level", "value", "low", "high",
    "message",
)  # fmt: skip


def as_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Rows as CSV; what a row does not have stays empty."""
    return pd.DataFrame(rows, columns=list(columns)).to_csv(index=False, lineterminator="\n")


def _result(certificate: Certificate, family: str, *checks: str) -> Result:
    return next(r for r in certificate.results if r.family == family and r.check in checks)


def _outcome(certificate: Certificate, family: str) -> str:
    failed = [result.check for result in certificate.failures if result.family == family]
    if failed:
        return f"refuted: {', '.join(failed)}"
    return "certified" if certificate.unbiased else "measured"


def _families(certificate: Certificate) -> list[str]:
    return list(dict.fromkeys(result.family for result in certificate.results))


def as_markdown(certificates: Sequence[Certificate], command: str, made: str) -> str:
    """The certified in one table, the measured in another."""
    certified, measured, warnings = [], [], []
    for certificate in certificates:
        name = certificate.estimator
        for family in _families(certificate):
            found = _result(certificate, family, "unbiased", "bias")
            shared = [name, family, _outcome(certificate, family), ", ".join(map(str, certificate.samples))]
            for result in certificate.results:
                if result.family == family:
                    warnings += [f"- {name}, {family}, {result.check}: {warning}" for warning in result.warnings]
            if certificate.unbiased:
                seen = found.numbers.get("detectable", {}).get("by_level", {})
                factor = {p["level"]: p["detectable"] for p in found.numbers.get("pooled", ())}
                counts = [f"{found.numbers.get('problems', 0)}", f"{found.numbers.get('draws', 0):.1e}"]
                cells = [f"{_share(seen.get(level))} / {_share(factor.get(level))}" for level in LEVELS]
                certified.append([*shared, *counts, *cells, f"{certificate.seconds:.0f}"])
            else:
                for objective, bias in found.numbers.get("by_objective", {}).items():
                    cells = [_interval(case) for case in bias["by_level"]]
                    measured.append([*shared, objective, *cells])
    levels = [f"{level:g}" for level in LEVELS]
    events = "; ".join(
        f"{family} " + ", ".join(" x ".join(map(str, event)) for event in shapes) for family, shapes in EVENTS.items()
    )
    return "\n".join(
        [
            "# Certificates",
            "",
            f"Every registered estimator against the exact gradient, in float64: latents {events}; |logit| or, for "
            "Gaussians, sharpness s with scale 2 / 10^(s/8) of 0, 1, 3, 6, 15; objectives constant, quadratic, cubic, "
            "coupled quadratic, a frozen tanh network, and one with log q inside (bounds have log q in all). "
            "Each also passed, or its outcome says otherwise: generator, evaluations, dtype, rows, leading-dims, "
            f"state, auxiliary, finite, theta, value, constant. Made by `{command}`; {made}.",
            "",
            "## Declared unbiased",
            "",
            "Under each level: the bias, relative to the length of the exact gradient, that every single problem of "
            "that level would have shown with 99 % chance, and after the stroke the error of a factor on all "
            f"problems of that level. The family-wise error of a certificate is {ALPHA:g}, by Bernstein's inequality "
            "at each of up to four looks; from |logit| 6 on rare outcomes are forced and weighted.",
            "",
            *pipe(["estimator", "family", "outcome", "samples", "problems", "draws", *levels, "s"], certified),
            "",
            "## Declared biased",
            "",
            "Bias relative to the length of the exact gradient, its noise floor subtracted, with a 95 % interval "
            "(normal, of a U-statistic; at most 65,536 draws a problem): the largest over sizes and samples at each "
            "level. 0 in the interval: none to be seen.",
            "",
            *pipe(["estimator", "family", "outcome", "samples", "objective", *levels], measured),
            "",
            *(["## Warnings", "", *warnings, ""] if warnings else []),
        ]
    )


def _share(value: float | None) -> str:
    return "-" if value is None else "exact" if value < 1e-4 else f"{value:.1%}"


def _interval(case: Mapping[str, float]) -> str:
    return f"{case['bias']:.1%} [{max(case['low'], 0.0):.1%}, {case['high']:.1%}]"


def repeated(seeds: int) -> list[Row]:
    """A row for each certificate of a correct estimator: its verdict and its smallest p-value."""
    rows = []
    for name, draws in REPEATED:
        for seed in range(1, seeds + 1):
            certificate = certify(name, seed=seed, draws=draws, workers=workers())
            log_p = [r.numbers["smallest_log_p"] for r in certificate.results if "smallest_log_p" in r.numbers]
            failed = " ".join(f"{r.family}:{r.check}" for r in certificate.failures)
            rows.append(
                {"estimator": name, "draws": draws, "seed": seed, "verdict": certificate.verdict, "failed": failed}
                | {"smallest_p": math.exp(min(log_p, default=0.0))}
            )
            print(f"{name} seed {seed}: {certificate.verdict}", flush=True)
    return rows


def null_markdown(rows: Sequence[Row], made: str) -> str:
    """How often a correct estimator was refuted."""
    cells = []
    for name, draws in REPEATED:
        own = [row for row in rows if row["estimator"] == name]
        wrong = sum(row["verdict"] == "refuted" for row in own)
        ends = stats.binomtest(wrong, len(own)).proportion_ci(method="exact")
        smallest = min(row["smallest_p"] for row in own)
        share = f"{wrong / len(own):.2%} [{ends.low:.2%}, {ends.high:.2%}]"
        cells.append([name, str(draws), str(len(own)), str(wrong), share, f"{smallest:.1e}"])
    titles = ["estimator", "draws a problem at most", "certificates", "refuted", "share", "smallest p bound"]
    return "\n".join(
        [
            "# How often chance refutes a correct estimator",
            "",
            "Whole certificates of estimators that are right, each with a seed of its own; the share refuted with "
            f"its exact 95 % interval (Clopper and Pearson). Promised: at most {ALPHA:g}. The last column is the "
            f"smallest bound on a p-value of any single mean. Made by `tox -e certify-null`; {made}.",
            "",
            *pipe(titles, cells),
            "",
        ]
    )


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    repeat: Annotated[int, typer.Option(min=0, help="Certify correct estimators with so many seeds instead.")] = 0,
    draws: Annotated[int, typer.Option(min=1, help="Draws a problem at most.")] = DRAWS,
) -> None:
    """Write the published certificates."""
    about = provenance(get("exact").create(), "cpu")
    made = f"gradest {about['gradest']}, torch {about['torch']}, {about['cpu']}"
    out.mkdir(parents=True, exist_ok=True)
    if repeat:
        rows = repeated(repeat)
        columns = ("estimator", "draws", "seed", "verdict", "failed", "smallest_p")
        write_atomic(out / "certificates-null.csv", as_csv(rows, columns).encode())
        write_atomic(out / "certificates-null.md", null_markdown(rows, made).encode())
        return
    command = "tox -e certify" + (f" -- --draws {draws}" if draws != DRAWS else "")
    certificates = []
    for certificate in all_certificates(draws):
        print(verdict(certificate), flush=True)
        certificates.append(certificate)
    rows = [row for certificate in certificates for row in tidy(certificate)]
    write_atomic(out / "certificates.csv", as_csv(rows, COLUMNS).encode())
    write_atomic(out / "certificates.md", as_markdown(certificates, command, made).encode())
    if any(certificate.verdict == "refuted" for certificate in certificates):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
