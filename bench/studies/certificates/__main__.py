"""`python -m bench.studies.certificates DIR` certifies all estimators, and writes certificates.csv and certificates.md.

With `--repeat N` it certifies a few correct estimators with N seeds each, and writes certificates-null.csv and .md.
"""

import math
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.check import one_thread, verdict, workers
from bench.run.provenance import machine
from bench.studies import results
from bench.studies.certificates import tables
from bench.studies.results import Row
from estimators.checks import Certificate, certify
from estimators.checks.certificate import DRAWS
from estimators.registry import available

REPEATED = (("disarm", 2**12),)
"""Correct estimators whose certificates are repeated, and the draws a problem at most: cheap ones."""


def all_certificates(draws: int) -> Iterator[Certificate]:
    """Every registered estimator, with its defaults and with the variants that its tags name; a process a core."""
    wanted = [(entry.name, dict(options)) for entry in available() for options in ({}, *entry.variants)]
    with ProcessPoolExecutor(workers(), multiprocessing.get_context("spawn"), one_thread) as pool:
        for certificate in pool.map(partial(certify, draws=draws), *zip(*wanted, strict=True)):
            print(verdict(certificate), flush=True)
            yield certificate


def repeated(seeds: int) -> Iterator[Row]:
    """A row for each certificate of a correct estimator: its verdict and its smallest p-value."""
    for name, draws in REPEATED:
        for seed in range(1, seeds + 1):
            certificate = certify(name, seed=seed, draws=draws, workers=workers())
            log_p = [r.numbers["smallest_log_p"] for r in certificate.results if "smallest_log_p" in r.numbers]
            failed = " ".join(f"{r.family}:{r.check}" for r in certificate.failures)
            case = {"estimator": name, "draws": draws, "seed": seed, "verdict": certificate.verdict, "failed": failed}
            yield Row(quantity="smallest p bound", case=case, value=math.exp(min(log_p, default=0.0)))
            print(f"{name} seed {seed}: {certificate.verdict}", flush=True)


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    repeat: Annotated[int, typer.Option(min=0, help="Certify correct estimators with so many seeds instead.")] = 0,
    draws: Annotated[int, typer.Option(min=1, help="Draws a problem at most.")] = DRAWS,
) -> None:
    """Write the published certificates."""
    made = results.made_on(machine("cpu"))
    if repeat:
        rows = list(repeated(repeat))
        texts = {"certificates-null.csv": tables.null_csv(rows), "certificates-null.md": tables.null(rows, made)}
        return results.write_texts(out, texts)
    command = "tox -e certify" + (f" -- --draws {draws}" if draws != DRAWS else "")
    certificates = list(all_certificates(draws))
    page = tables.markdown(certificates, command, made)
    results.write_texts(out, {"certificates.csv": tables.csv(certificates), "certificates.md": page})
    if any(certificate.verdict == "refuted" for certificate in certificates):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
