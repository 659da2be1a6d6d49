"""Real RabbitMQ and MongoDB to test against: the ones named, else a container, else a private process.

`python -m leadline_testing.servers` runs both until Ctrl-C or SIGTERM.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from leadline_testing import mongodb, rabbitmq
from leadline_testing.containers import engine_answers
from leadline_testing.running_server import RunningServer, ServerFailed, ServersMissing

BROKER_URL = "LEADLINE_BROKER_URL"
STORE_URL = "LEADLINE_STORE_URL"


def start_rabbitmq(folder: Path) -> RunningServer:
    """Find or start RabbitMQ; a private node keeps its data in `folder`.

    Raises ServersMissing where there is none to be had and ServerFailed where one does not boot.
    """
    if url := os.environ.get(BROKER_URL):
        return RunningServer(url, f"the server at {BROKER_URL}")
    return rabbitmq.start_in_container() if engine_answers() else rabbitmq.start_private(folder)


def start_mongodb(folder: Path) -> RunningServer:
    """Find or start MongoDB as a replica set; a private one keeps its data in `folder`.

    Raises ServersMissing where there is none to be had and ServerFailed where one does not start.
    """
    if url := os.environ.get(STORE_URL):
        return RunningServer(url, f"the server at {STORE_URL}")
    return mongodb.start_in_container() if engine_answers() else mongodb.start_private(folder)


def main() -> int:
    """Run both servers until told to stop; 0 when stopped, 2 where they cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m leadline_testing.servers", description=main.__doc__)
    parser.add_argument("--data-dir", type=Path, help="keep the servers' data and addresses here")
    data_dir: Path | None = parser.parse_args().data_dir
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with both_servers(data_dir) as (broker, store):
            _announce(broker, store)
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except (ServersMissing, ServerFailed) as error:
        sys.stderr.write(f"{error}\n")
        return 2


@contextlib.contextmanager
def both_servers(data_dir: Path | None = None) -> Iterator[tuple[RunningServer, RunningServer]]:
    """Yield RabbitMQ and MongoDB, found or started; stop what was started. Raises as starting them does."""
    with contextlib.ExitStack() as stack:
        folder = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-")))
        store = start_mongodb(folder / "mongodb")
        stack.callback(store.stop)
        broker = start_rabbitmq(folder / "rabbitmq")
        stack.callback(broker.stop)
        yield broker, store


def _announce(broker: RunningServer, store: RunningServer) -> None:
    sys.stdout.write(f"{BROKER_URL}={broker.url}\n{STORE_URL}={store.url}\n")
    sys.stdout.write(f"Running: {broker.how} and {store.how}. Ctrl-C stops what was started here.\n")
    sys.stdout.flush()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
