"""Signals at an instant of an inline run."""

import shutil
import signal

from bench.studies.chaos.kinds import kind
from bench.studies.chaos.trial import Trial, pause

STOPPED = {0, 3, 130}


def _once(trial: Trial, number: int) -> None:
    trial.prepared()
    process = trial.start()
    process.wait(trial.instant())
    process.send(number)


@kind("kill", "SIGKILL")
def kill(trial: Trial) -> None:
    _once(trial, signal.SIGKILL)


@kind("kill-again", "SIGKILL, and the resume is killed too, three times in all")
def kill_again(trial: Trial) -> None:
    trial.prepared()
    for _ in range(3):
        process = trial.start()
        process.wait(trial.instant(0.7))
        process.send(signal.SIGKILL)
        trial.over(process)


@kind("kill-often", "SIGKILL ten times in a row; a run that comes to its end meanwhile begins anew (--force)", every=3)
def kill_often(trial: Trial) -> None:
    trial.prepared()
    process = None
    for _ in trial.until(10):
        process = trial.restarted(process)
        process.wait(trial.instant(0.5))
        process.send(signal.SIGKILL)
        trial.over(process)


def _compiles() -> str:
    return "" if shutil.which("c++") or shutil.which("g++") else "no C++ compiler, without which no step is compiled"


@kind("kill-compiled", "SIGKILL of a training whose steps are compiled, and of two resumes", every=3, needs=_compiles)
def kill_compiled(trial: Trial) -> None:
    trial.prepared("compiled")
    for _ in range(3):
        process = trial.start()
        process.wait(trial.instant())
        process.send(signal.SIGKILL)
        trial.over(process)


@kind("term", "SIGTERM, as a batch queue sends it")
def term(trial: Trial) -> None:
    _once(trial, signal.SIGTERM)


@kind("interrupt", "Ctrl-C")
def interrupt(trial: Trial) -> None:
    _once(trial, signal.SIGINT)


@kind("interrupt-twice", "Ctrl-C, and once more within 50 ms")
def interrupt_twice(trial: Trial) -> None:
    trial.prepared()
    process = trial.start()
    process.wait(trial.instant())
    process.send(signal.SIGINT)
    process.wait(trial.random.uniform(0, 0.05))
    process.send(signal.SIGINT)


@kind("closed-terminal", "its terminal is closed (SIGHUP, and nobody to write to)")
def closed_terminal(trial: Trial) -> None:
    trial.prepared()
    process = trial.start(terminal=True)
    process.wait(trial.instant())
    process.hang_up()


@kind("processor-time", "the kernel's limit of processor time (SIGXCPU, then SIGKILL)")
def processor_time(trial: Trial) -> None:
    _once(trial, signal.SIGXCPU)


@kind("stopped", "SIGSTOP, a pause, SIGCONT")
def stopped(trial: Trial) -> None:
    trial.prepared()
    process = trial.start()
    process.wait(trial.instant())
    process.send(signal.SIGSTOP)
    pause(trial.random.uniform(0, 0.5))
    process.send(signal.SIGCONT)


@kind("quit", "SIGQUIT, which leaves no time for anything")
def leave(trial: Trial) -> None:
    _once(trial, signal.SIGQUIT)


@kind("time-limit", "--time-limit 1s, again and again")
def time_limit(trial: Trial) -> None:
    trial.prepared()
    for _ in range(trial.random.randint(1, 3)):
        trial.over(trial.start("--time-limit", "1s"))


@kind("unread", "nobody reads its output any more, as after `| head`")
def unread(trial: Trial) -> None:
    import os

    trial.prepared()

    def inside() -> None:
        receiving, sending = os.pipe()
        os.close(receiving)
        os.dup2(sending, 1)

    trial.start(inside=[inside])
