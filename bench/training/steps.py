"""Training steps in the fastest form that there is: compiled where that pays, captured on a GPU, or eager.

The eager step is the readable meaning of the others. A compiled one gives its numbers up to rounding, on the same noise
on the CPU; on a GPU its noise comes in larger draws, which are other numbers of the same generators.
"""

from bench.training.batches import Batches
from bench.training.capture import EagerSteps
from bench.training.compiling import Made, compile_if_worth
from bench.training.program_steps import AHEAD, ProgramSteps
from bench.training.step_program import look_at
from bench.training.trainer import Trainer
from bench.training.worth import WORTH

AT_ONCE = 10
"""Steps of a program on the CPU between two looks at whether to stop."""


class Steps:
    """Training steps on batches of their own.

    `trainer.optimisation` says whether they are compiled; with "auto" where as many steps as it names make up for the
    time that compiling takes.

    Args:
        trainer: takes the steps.
        batches: on the trainer's device.
        capture: whether to capture at all.
    """

    def __init__(self, trainer: Trainer, batches: Batches, *, capture: bool = True) -> None:
        self.trainer, self.batches = trainer, batches
        self.eager = EagerSteps(trainer, batches, capture=capture)
        self.program: ProgramSteps | None = None
        self.made: Made | None = None
        """None before the first step."""

    @property
    def captured(self) -> bool:
        """Whether steps are replayed from a CUDA graph."""
        return bool(self.program.graphs) if self.program else self.eager.graph is not None

    @property
    def stride(self) -> int:
        """How many steps are best taken at once: those of a graph, or some of a program; else one."""
        if self.program is None:
            return 1
        return AHEAD if self.program.graphs else AT_ONCE

    def run(self, count: int) -> None:
        """Take so many steps."""
        if self.program is not None and not self.program.current:  # somebody changed more than values
            self.made = self.program = None
        self.prepare()
        (self.program or self.eager).run(count)

    def prepare(self) -> Made:
        """Compile, if it is wished and can be; done by the first step where nobody asked for it before."""
        if self.made is None:
            self.made = self._compile()
        return self.made

    def _compile(self) -> Made:
        optimisation, capture = self.trainer.optimisation, self.eager.eager_because is None
        self.program, made = compile_if_worth(
            optimisation.compile,
            WORTH[self.trainer.device.type],
            optimisation.steps,
            look=lambda: look_at(self.trainer, self.batches),
            build=lambda seen: ProgramSteps(self.trainer, self.batches, seen, capture=capture),
        )
        return made
