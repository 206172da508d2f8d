"""What is timed, in the order in which it is needed, and what is asked of it.

The targets are for one NVIDIA H100, where JAX 0.11 (jit, vmap over seeds, scan over steps) took 11,567 linear DisARM
steps a second with five seeds and 3142 with 32, in float32 (`results/timing-h100`).
"""

from typing import Any, Literal, NamedTuple

Precision = Literal["highest", "high"]
"""Float32, or TF32 where the device has it."""


class Variant(NamedTuple):
    """The form in which steps run."""

    compile: bool
    capture: bool


VARIANTS = {"compiled": Variant(True, True), "captured": Variant(False, True), "eager": Variant(False, False)}


class Case(NamedTuple):
    """Training steps of one estimator on the shared VAE."""

    estimator: str
    """Its label."""
    architecture: Literal["linear", "nonlinear"] = "linear"
    seeds: int = 5
    variant: str = "compiled"
    precision: Precision = "highest"
    target: float | None = None
    """Steps a second at least."""

    def about(self) -> dict[str, Any]:
        """What a row is of."""
        return {key: value for key, value in self._asdict().items() if key != "target"}

    @property
    def title(self) -> str:
        """In a few words."""
        precision = "float32" if self.precision == "highest" else "TF32"
        return f"{self.estimator} {self.architecture}, seeds {self.seeds}, {self.variant}, {precision}"


DISARM, REBAR, RELAX = "disarm[samples=2]", "rebar[samples=1]", "relax[samples=1]"
JUDGED = (
    Case(DISARM, target=11_500),
    Case(DISARM, seeds=32, target=3_100),
    Case(REBAR, target=7_000),
    Case(DISARM, "nonlinear", target=5_000),
)
_FORMS = (
    Case(DISARM, seeds=1),
    Case(DISARM, precision="high"),
    *(Case(case, variant="captured") for case in (DISARM, REBAR)),
    Case(DISARM, variant="eager"),
    Case(DISARM, seeds=32, precision="high"),
)
_OTHERS = (
    Case(REBAR, "nonlinear"),
    Case(RELAX),
    Case(REBAR, precision="high"),
    Case(DISARM, "nonlinear", precision="high"),
    *(Case(DISARM, seeds=seeds, variant="captured") for seeds in (1, 32)),
    *(Case(case, "nonlinear", variant="captured") for case in (DISARM, REBAR)),
    Case(RELAX, variant="captured"),
    Case(REBAR, variant="eager"),
    *(Case(REBAR, seeds=seeds) for seeds in (1, 32)),
    *(Case(RELAX, seeds=seeds) for seeds in (1, 32)),
)
CASES = (*_FORMS, *_OTHERS)
"""Those that no target is set for."""


class JaxCase(NamedTuple):
    """The linear DisARM step in JAX."""

    seeds: int
    precision: Precision = "highest"

    @property
    def title(self) -> str:
        """In a few words."""
        return f"JAX, seeds {self.seeds}, {'float32' if self.precision == 'highest' else 'TF32'}"


JAX_CASES = (JaxCase(5), JaxCase(32), JaxCase(1), JaxCase(5, "high"), JaxCase(32, "high"))

MOMENTS: dict[str, float | None] = {
    "disarm": 0.8, "rloo": 0.8, "reinforce": 0.8, "arms": 0.8, "gumbel-sigmoid": None, "rebar": None,
}  # fmt: skip
"""Whose moments are taken: rows a second over those of bare f, at least. Nothing is asked where f is differentiated,
which the bare evaluations are not."""


class Sizes(NamedTuple):
    """How much is measured of each case."""

    rounds: int
    steps: int
    """In a round."""
    draws: int
    """Of moments."""
    moments_rounds: int


SIZES = {"cuda": Sizes(rounds=9, steps=300, draws=1000, moments_rounds=7), "cpu": Sizes(3, 5, 50, 3)}
"""On a CPU for the rehearsal alone."""
