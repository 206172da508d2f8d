"""What part of its rate a training has: by the steps that were taken after its warm-up, and those that there are."""

import math
from collections.abc import Callable

Schedule = Callable[[int, int], float]


def constant(taken: int, steps: int) -> float:
    """All of it."""
    return 1.0


def cosine(taken: int, steps: int) -> float:
    """From all of it to nothing, along half a cosine: I. Loshchilov, F. Hutter, SGDR, 2016, arXiv 1608.03983."""
    return (1 + math.cos(math.pi * taken / steps)) / 2


def quarter_cosine(taken: int, steps: int) -> float:
    """From all of it to nothing, along a quarter of a cosine.

    As in the program of S. Mohamed, M. Rosca, M. Figurnov, A. Mnih, 2019, arXiv 1906.10652.
    """
    return math.cos(math.pi / 2 * taken / steps)


def iwae(taken: int, steps: int) -> float:
    """10^(-i/7) of it for 3^i of 3280 parts of the steps, i from 0 to 7; each part was a pass over the data.

    Y. Burda, R. Grosse, R. Salakhutdinov, Importance weighted autoencoders, 2015, arXiv 1509.00519.
    """
    part = 3280 * taken // steps
    stage = next(i for i in range(8) if part < (3 ** (i + 1) - 1) // 2)
    return float(10 ** (-stage / 7))


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "cosine": cosine,
    "quarter-cosine": quarter_cosine,
    "iwae": iwae,
}
