"""An end by a signal: what is unfinished is removed first, and it is said in words."""

from __future__ import annotations

import signal
from types import FrameType

_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Ending:
    """Takes the signals that end a program as an interrupt, the first of them; what follows it is left out, so that
    nothing interrupts the cleaning up. `signal` is the one that came. One that is ignored from the start stays so."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        for one in _ENDING:
            if signal.getsignal(one) is not signal.SIG_IGN:
                signal.signal(one, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        for one in _ENDING:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    @property
    def code(self) -> int:
        """The exit code, as a shell counts it."""
        return 128 + (self.signal or signal.SIGINT)

    def __str__(self) -> str:
        return f"ended by {(self.signal or signal.SIGINT).name}; what was not finished is removed"
