"""`make bench`: the AI layer, four services against the floor, everything in one process; then messages."""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.bench.ai_service import ideal_seconds, measure_assessor
from tests.bench.messages import MessageTimes, message_services, message_standalone
from tests.bench.pipeline import Measured, measure_floor, measure_services, measure_standalone, sample_of
from tests.bench.prospects import write_prospects
from tests.bench.replicas import measure_replicas

from leadline_testing.servers import both_servers

_LATENCY = 0.2
_MESSAGES, _CONNECTIONS = 2_000, 50


def main() -> None:
    """Run everything once and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=main.__doc__)
    parser.add_argument("--leads", type=int, default=100_000, help="prospects to score (default 100,000)")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--ai-only", action="store_true", help="measure the AI layer alone")
    parts.add_argument("--replicas-only", action="store_true", help="measure one replica of each service")
    parts.add_argument("--messages-only", action="store_true", help="measure inbound messages alone")
    arguments = parser.parse_args()
    everything = not (arguments.ai_only or arguments.messages_only or arguments.replicas_only)
    if everything or arguments.ai_only:
        asyncio.run(_assess())
    if everything:
        _score(arguments.leads)
    if everything or arguments.replicas_only:
        _replicas(arguments.leads)
    if everything or arguments.messages_only:
        _message()


async def _assess() -> None:
    """Judge leads through the real SDK against a local provider: alone, together, and from afar."""
    alone, together = await measure_assessor(2_000, 1), await measure_assessor(20_000, 10)
    _say("AI layer, instant local provider, SQLite")
    for assessed, what in ((alone, "1 lead a request"), (together, "10 leads a request")):
        rate, on_a_core = assessed.rate, assessed.leads / assessed.processor
        _say(f"{what:24}{rate:10,.0f} leads/s, {on_a_core:,.0f} a second of our processor")
    _say(f"{'ratio of throughput':24}{together.rate / alone.rate:10.2f}")
    _say(f"{'ratio of input tokens':24}{together.input_tokens / alone.input_tokens:10.2f}")
    afar, ideal = await measure_assessor(10_000, 10, _LATENCY), ideal_seconds(10_000, 10, _LATENCY)
    _say(f"{'latency 200 ms, 10,000':24}{afar.seconds:10.1f} s, {ideal:.1f} s of it the provider's")


def _score(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="leadline-bench-") as name:
        folder = Path(name)
        leads = folder / "leads.csv"
        write_prospects(leads, count)
        _say(f"{count:,} prospects, offline assessor, {os.cpu_count()} cores")
        with both_servers() as (broker, store):
            services = asyncio.run(measure_services(broker, store, leads, count))
            sample = asyncio.run(sample_of(store, folder))
            floor = measure_floor(broker, store, sample, count)
        _show("four services", services)
        _show("floor", floor)
        _say(f"{'ratio to the floor':24}{services.rate / floor.rate:10.2f}")
        _show("one process", asyncio.run(measure_standalone(folder, leads, count)))


def _replicas(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="leadline-bench-") as name:
        leads = Path(name) / "leads.csv"
        write_prospects(leads, count)
        _say(f"{count:,} prospects, one service at a time, offline assessor, {os.cpu_count()} cores")
        with both_servers() as (broker, store):
            replicas = asyncio.run(measure_replicas(broker, store, leads, count))
    for name, replica in replicas.items():
        _say(f"{name:24}{replica.rate:10,.0f} leads/s of one replica, {replica.cores:.2f} of a core")


def _message() -> None:
    _say(f"{_MESSAGES:,} messages over {_CONNECTIONS} connections, offline assessor, {os.cpu_count()} cores")
    with both_servers() as (broker, store):
        services = asyncio.run(message_services(broker, store, _MESSAGES, _CONNECTIONS))
    with tempfile.TemporaryDirectory(prefix="leadline-bench-") as name:
        one = asyncio.run(message_standalone(Path(name), _MESSAGES, _CONNECTIONS))
    for what, measured in (("four services", services), ("one process", one)):
        _show_messages(what, measured)


def _show_messages(what: str, measured: MessageTimes) -> None:
    count, median, most = len(measured.answers), measured.median * 1e3, measured.percentile_95 * 1e3
    _say(f"{what:24}{median:10.1f} ms for half of the answers, {most:.1f} ms for 95 of 100")
    _say(f"{'  accepted':24}{count / measured.accepted_seconds:10,.0f} messages/s")
    _say(
        f"{'  ended':24}{count / measured.seconds:10,.0f} messages/s  {measured.seconds:.1f} s, "
        f"{measured.completed:,} completed and {measured.failed:,} failed"
    )
    for name, seconds in measured.processor.items():
        _say(f"  {name:22}{seconds / count * 1e6:10.0f} us of processor a message")


def _show(what: str, measured: Measured) -> None:
    _say(f"{what:24}{measured.rate:10,.0f} leads/s  {measured.seconds:.1f} s")
    if measured.upload_seconds:
        _say(f"{'  upload':24}{measured.leads / measured.upload_seconds:10,.0f} rows/s")
        _say(f"{'  export':24}{measured.leads / measured.export_seconds:10,.0f} rows/s")
    for name, seconds in measured.processor.items():
        share = seconds / measured.leads * 1e6
        _say(f"  {name:22}{share:10.0f} us of processor a lead, at most {measured.memory[name]:.0f} MB")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
