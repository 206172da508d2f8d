"""What stops a run where it is. Without torch, so that a run can hear it while torch is imported."""


class Stopped(BaseException):
    """A run was told to stop where it is; no failure, and so not to be caught with those.

    Args:
        reason: what told it, in a few words.
        lost: seconds of a cell that was stopped and could keep nothing of its work.
    """

    def __init__(self, reason: str, lost: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.lost = reason, lost
