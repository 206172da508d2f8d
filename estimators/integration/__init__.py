"""Exact moments of an estimator: it is a function of its noise, and small noise can be integrated over."""

from estimators.integration.design import Evaluated
from estimators.integration.integral import NOT_FINITE, Integration, Moments, integrate
from estimators.integration.source import NotIntegrable, Source

__all__ = ["NOT_FINITE", "Evaluated", "Integration", "Moments", "NotIntegrable", "Source", "integrate"]
