"""JAX in a process of its own, both ends of the pipe: torch and XLA each keep a pool of threads, and share no process.

The process compiles once and then waits in a read. Asked for a turn, it answers with the seconds that it took by its
own clock, so that the pipe is not in them. While it waits it does nothing: XLA's threads sleep as soon as they have no
work. What holds XLA to a number of threads is the affinity with which the process starts: matrix products kept 1.9 of
two cores busy, one core after `sched_setaffinity` to it, and still 1.9 with the flags
`--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1`, which XLA no longer heeds on a CPU.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple


class Job(NamedTuple):
    """What a process is started for."""

    estimator: str
    """Its name in our registry."""
    sizes: tuple[int, ...]
    """Of the encoder's layers, from pixels to latents; the decoder mirrors them."""
    stacked: int
    """Seeds."""
    batch: int
    steps: int
    """In one turn."""
    learning_rate: float
    rows: int
    """Of the train split, invented."""
    pixel_mean: float
    binarised: bool
    """Whether rows are intensities, drawn to bits in each step."""
    threads: int


ON_CPU = {"JAX_PLATFORMS": "cpu"}


class JaxProcess(AbstractContextManager["JaxProcess"]):
    """Training steps in another process, compiled when it is entered.

    Args:
        job: what to train.
        variables: of its environment, beside those of this process.

    Raises:
        RuntimeError: the process ended, or trained to a loss that is not finite; what it wrote is on stderr.
    """

    def __init__(self, job: Job, variables: Mapping[str, str] = ON_CPU) -> None:
        command = [sys.executable, "-m", "bench.studies.peers.jax_process", json.dumps(job._asdict())]
        environment = os.environ | dict(variables)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.started = self._answer()
        """Seconds that compiling took as `compile_seconds`, and the `threads` that the process may run on."""

    def seconds(self) -> float:
        """Seconds of one turn of the job's steps."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self._answer()["seconds"])

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.__exit__()
            raise RuntimeError(f"the process with JAX ended with exit status {self.process.returncode}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __exit__(self, *_: object) -> None:
        """End the process: its input ends, and so does it."""
        with self.process:  # closes the pipes, then waits
            pass


def serve(job: Job) -> None:
    """The other end: compile, then a turn for each line of input."""
    cores = sorted(os.sched_getaffinity(0))[: job.threads]
    os.sched_setaffinity(0, cores)  # before XLA is imported, which makes as many threads as it may run on
    from bench.studies.peers.jax_steps import Training

    training = Training(job)
    print(json.dumps({"compile_seconds": training.compile_seconds, "threads": len(cores)}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        loss = training.turn()
        seconds = time.perf_counter() - began
        if loss - loss != 0:
            raise RuntimeError(f"the loss is {loss}")
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    serve(Job(**asked | {"sizes": tuple(asked["sizes"])}))
