"""What an estimator returns, held against its contract."""

from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate
from estimators.distributions import row_shape


class Broken(ValueError):
    """The estimator does not keep its contract; the message is a sentence."""


def checked(estimate: object, q: Distribution) -> Estimate:
    """The estimate, if it has the form that the contract asks for.

    Raises:
        Broken: it is not an Estimate, or a part is not one number a row of q.
    """
    if not isinstance(estimate, Estimate):
        raise Broken(f"forward returned a {type(estimate).__name__}, expected Estimate(surrogate, value)")
    rows = row_shape(q)
    for name, part in estimate._asdict().items():
        if part is None and name == "auxiliary":
            continue
        if not isinstance(part, Tensor) or part.shape != rows:
            found = list(part.shape) if isinstance(part, Tensor) else type(part).__name__
            raise Broken(f"{name} is {found}, expected {list(rows)}: one number a row of q, not reduced over the batch")
    return estimate
