"""The signals that tell a process to stop, before there is anything to stop.

Imports next to nothing: whoever starts a service calls this first, before it loads what takes a second.
"""

import os
import signal

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_when_told() -> None:
    """Have a stop signal end the process at once with exit code 0, as long as it has nothing to close."""
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))
