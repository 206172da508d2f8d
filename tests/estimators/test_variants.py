"""A first look at the certificates of options beside the defaults, in a file of its own: files run side by side."""

import estimators
from estimators.checks import parametrize_with_checks
from estimators.checks.sampling import LOOKS

VARIANTS = [(entry, options) for entry in estimators.available() for options in entry.variants]


@parametrize_with_checks(VARIANTS, draws=LOOKS[0])
def test_their_variants(check) -> None:
    check()
