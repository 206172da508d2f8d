"""The published certificates, made of a few quick ones."""

import csv
import io

from bench import certificates
from estimators.checks import certify
from estimators.checks.sampling import LOOKS


def test_tables_hold_every_check_and_every_bias() -> None:
    made = [certify(name, draws=LOOKS[0]) for name in ("disarm", "exact", "straight-through")]
    rows = [row for certificate in made for row in certificates.tidy(certificate)]
    read = list(csv.DictReader(io.StringIO(certificates.as_csv(rows, certificates.COLUMNS))))
    verdicts = [row for row in read if row["quantity"] == "verdict"]
    assert len(verdicts) == sum(len(certificate.results) for certificate in made)
    assert {row["quantity"] for row in read} == {"verdict", "detectable bias", "detectable factor", "bias"}
    biases = [row for row in read if row["quantity"] == "bias"]
    assert {row["estimator"] for row in biases} == {"straight-through"}
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in biases)
    text = certificates.as_markdown(made, "tox -e certify", "here")
    assert "| disarm | bernoulli | certified |" in text
    assert "| straight-through | bernoulli | measured |" in text
    assert "exact / exact" in text


def test_the_null_table_counts_refutations() -> None:
    rows = [
        {"estimator": "disarm", "draws": 1, "seed": seed, "verdict": "certified", "failed": ""} for seed in range(4)
    ]
    rows = [row | {"smallest_p": 0.1} for row in rows]
    rows[0]["verdict"] = "refuted"
    assert "| 4 | 1 | 25.00% [0.63%, 80.59%] |" in certificates.null_markdown(rows, "here")
