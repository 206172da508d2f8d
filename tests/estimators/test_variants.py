"""A first look at the certificates of options beside the defaults, in a file of its own: files run side by side."""

import estimators
from estimators.checks.sampling import LOOKS, PRIMES
from tests.estimators.first_looks import each_check, on_the_largest

VARIANTS = [(entry, options) for entry in estimators.available() for options in entry.variants]
UNBIASED = [(entry, options) for entry, options in VARIANTS if entry.claims_unbiased(options)]
BIASED = [(entry, options) for entry, options in VARIANTS if not entry.claims_unbiased(options)]


@each_check(UNBIASED, draws=LOOKS[0])
def test_their_variants(check) -> None:
    on_the_largest(check)()


@each_check(BIASED, draws=PRIMES[-1])
def test_their_variants_that_are_biased(check) -> None:
    on_the_largest(check)()
