"""Certificates: any registered estimator, ours or a user's, held against the exact gradient and its contract.

`certify` runs every check and returns the certificate; `parametrize_with_checks` gives the same checks to pytest.
"""

from estimators.checks.certificate import ALPHA, CHECKS, certify, run_check, subjects
from estimators.checks.parametrize import BoundCheck, checks_for, parametrize_with_checks
from estimators.checks.result import Certificate, Result
from estimators.checks.subject import Subject

__all__ = [
    "ALPHA",
    "CHECKS",
    "BoundCheck",
    "Certificate",
    "Result",
    "Subject",
    "certify",
    "checks_for",
    "parametrize_with_checks",
    "run_check",
    "subjects",
]
