"""The published certificates, made of a few quick ones."""

import csv
import io

from bench.studies.certificates import tables
from bench.studies.results import Row
from estimators.checks import certify
from estimators.checks.sampling import LOOKS


def test_tables_hold_every_check_and_every_bias() -> None:
    made = [certify(name, draws=LOOKS[0]) for name in ("disarm", "exact", "straight-through")]
    read = list(csv.DictReader(io.StringIO(tables.csv(made))))
    verdicts = [row for row in read if row["quantity"] == "verdict"]
    assert len(verdicts) == sum(len(certificate.results) for certificate in made)
    assert {row["quantity"] for row in read} == {"verdict", "detectable bias", "bias not excluded by proof", "bias"}
    biases = [row for row in read if row["quantity"] == "bias"]
    assert {row["estimator"] for row in biases} == {"straight-through"}
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in biases)
    text = tables.markdown(made, "tox -e certify", "here")
    assert "| disarm | bernoulli | certified |" in text
    assert "| straight-through | bernoulli | measured |" in text
    assert "3 of 3 are proved to 1e-8 at every level, 3 of them in every problem" in text
    shares = [float(row["value"]) for row in read if row["quantity"] == "bias not excluded by proof"]
    assert len(shares) == 3 * 5
    assert max(shares) < 1e-8


def test_the_null_table_counts_refutations() -> None:
    verdicts = ["refuted", "certified", "certified", "certified"]
    rows = [
        Row(
            quantity="smallest p bound",
            case={"estimator": "disarm", "draws": 1, "seed": seed, "verdict": verdict, "failed": ""},
            value=0.1,
        )
        for seed, verdict in enumerate(verdicts)
    ]
    assert "| 4 | 1 | 25.00% [0.63%, 80.59%] |" in tables.null(rows, "here")
    assert tables.null_csv(rows).splitlines()[:2] == [
        "estimator,draws,seed,verdict,failed,smallest_p",
        "disarm,1,0,refuted,,0.1",
    ]
