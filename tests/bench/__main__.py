"""`make bench`: the four services against the floor, then everything in one process."""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.bench.pipeline import Measured, measure_floor, measure_services, measure_standalone, sample_of
from tests.bench.prospects import write_prospects

from leadline_testing.servers import both_servers


def main() -> None:
    """Run everything once and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=main.__doc__)
    parser.add_argument("--leads", type=int, default=100_000, help="prospects to score (default 100,000)")
    count: int = parser.parse_args().leads
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
