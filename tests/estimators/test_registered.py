"""A first look at the certificate of every registered estimator; the published ones take up to 64 times the draws."""

import estimators
from estimators.checks.sampling import LOOKS, PRIMES
from tests.estimators.first_looks import each_check

UNBIASED = [entry for entry in estimators.available() if entry.unbiased]
BIASED = [entry for entry in estimators.available() if not entry.unbiased]
WARNS = {"rodeo-bernoulli-finite": "does not grow in proportion to costs"}
"""Warnings that are known: the networks of RODEO read costs, whatever their size, and are no clipping."""


@each_check(UNBIASED, draws=LOOKS[0])
def test_registered_estimators(check) -> None:
    result = check()
    for warning in result.warnings:
        if warning.startswith("cannot tell by sampling"):
            # At |logit| 15 so few draws may not do; up to |logit| 6 they must.
            assert warning.startswith("cannot tell by sampling at |logit| 15:")
        else:
            assert check.id in WARNS, warning
            assert WARNS[check.id] in warning
    assert result.message


@each_check(BIASED, draws=PRIMES[-1])
def test_registered_estimators_that_are_biased(check) -> None:
    """In one call a grid: how large their bias is decides no test, and one that is not there is seen elsewhere."""
    result = check()
    assert all(warning.startswith("cannot tell by sampling") for warning in result.warnings)
    assert result.message
