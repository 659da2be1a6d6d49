"""The life of a process: start, work until told to stop, and end in order with an exit code that tells."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, NoReturn

import structlog

from leadline_common.process.allocator import return_large_blocks
from leadline_common.process.service import Health
from leadline_common.process.signals import STOP_SIGNALS
from leadline_common.telemetry.stderr import guard_stderr
from leadline_contracts.errors import LeadlineError, SettingsError

_CLOSE_SECONDS = 5.0
"""Time for what is left when everything was closed in order: a task or a thread that will not end."""

log = structlog.get_logger()

Main = Callable[[], Coroutine[Any, Any, None]]
"""What a process does, from its start to its end."""


class Stop:
    """Told to stop by SIGTERM or SIGINT: a start under way is cancelled, a service that runs ends in order.

    What comes after the first signal changes nothing, so that it cannot break the order.
    """

    def __init__(self) -> None:
        self.told = False
        self._act: Callable[[], object] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self) -> None:
        """Take the signals from now on."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)

    def ignore(self) -> None:
        """Have further signals do nothing: the interpreter would take our handler away before it ends."""
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    async def until_told(self, health: Health) -> None:
        """Wait for a signal or for the death of a watched task, then report unready. The start is over."""
        self._act = health.end
        if self.told:  # and the start went on, its cancellation being lost
            health.end()
        spare_collector()
        await health.until_ending()
        health.stopping = True
        log.info("stopping")

    async def obeyed_by(self, serve: "Serve") -> None:
        """Run the service to its end; it is not begun where the signal came before."""
        self._loop = asyncio.get_running_loop()
        if task := asyncio.current_task():
            self._act = task.cancel
        if self.told:
            return
        try:
            with _woken_by_signals(self._loop):
                await serve(self)
        except asyncio.CancelledError:
            if not self.told:
                raise
            log.info("stopped_while_starting")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        first, self.told = not self.told, True
        if first and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and so does the process
                self._loop.call_soon_threadsafe(self._obey)

    def _obey(self) -> None:
        if self._act is not None:
            self._act()


@contextlib.contextmanager
def _woken_by_signals(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Have every signal wake the loop.

    The interpreter only notes a signal, and acts on it at the next instruction: where the loop is just about
    to wait for its files, that is when something else wakes it.
    """
    woken, waking = socket.socketpair()
    with woken, waking:
        woken.setblocking(False)
        waking.setblocking(False)
        loop.add_reader(woken, woken.recv, 4096)
        before = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(woken)


Serve = Callable[[Stop], Coroutine[Any, Any, None]]
"""What a service does, from its start until `Stop.until_told` returned and everything is closed."""


def spare_collector() -> None:
    """Leave what start-up made out of every later garbage collection, and collect the young less often.

    Chunks make many short-lived objects and few cycles: this takes about a sixth off the processor time of
    a run.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def run_until_told(serve: Serve) -> NoReturn:
    """Run a service and end the process: exit code 0 where it was told to stop, by SIGTERM or SIGINT.

    That holds at every moment: a start is given up, and what it opened is closed. Otherwise there is one line
    on standard error, and the exit code is 2 for a wrong setting; 1 for a server that cannot be reached at
    start, and for a background task that died, after the ordinary stop. Ctrl-C is SIGINT, and the ordinary
    way to stop what runs until it is told to; a command that it keeps from its end exits with 130: see
    `run_main`.
    """
    stop = Stop()
    stop.listen()
    guard_stderr()
    return_large_blocks()
    code = asyncio.run(_bounded(stop.obeyed_by(serve)))
    stop.ignore()
    sys.exit(code)


def run_main(main: Main) -> None:
    """Run a command to its end: return, or exit with 2 and one line on standard error for a wrong setting.

    What cannot be reached ends it with one line and exit code 1. SIGTERM and Ctrl-C end it with 130, since
    what it was to do is not done.
    """
    # A container's first process is deaf to what it does not handle.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    guard_stderr()
    spare_collector()
    return_large_blocks()
    try:
        code = asyncio.run(_exit_code(main()))
    except KeyboardInterrupt:
        log.info("interrupted")
        code = 130
    if code:
        sys.exit(code)


async def _bounded(work: Coroutine[Any, Any, None]) -> int:
    """Return the exit code; whatever is not over soon after does not keep the process."""
    code = 1
    try:
        code = await _exit_code(work)
    finally:
        _end_soon(code)
    return code


async def _exit_code(work: Coroutine[Any, Any, None]) -> int:
    try:
        await work
    except LeadlineError as error:
        sys.stderr.write(f"leadline: {error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    return 0


def _end_soon(code: int) -> None:
    """End the process in a while, if it has not ended by then.

    A task may refuse to be cancelled, and a driver's thread may wait for its server.
    """

    def end() -> None:
        log.error("end_forced", threads=[thread.name for thread in threading.enumerate()])
        os._exit(code)

    timer = threading.Timer(_CLOSE_SECONDS, end)
    timer.daemon = True
    timer.start()
