"""`leadline serve`: the whole of Leadline behind one address."""

from pathlib import Path

from rich.console import Console

from leadline_ai.settings import AssessorSettings
from leadline_common.http.api import build_app
from leadline_common.http.server import serving
from leadline_common.logs import configure_logging
from leadline_common.service import until_signalled
from leadline_common.settings import load_settings
from leadline_ingest.app import now
from leadline_ingest.routes import ingest_routes
from leadline_results.routes import results_routes
from leadline_standalone.runtime import embedded

DRAIN_SECONDS = 20.0


async def serve(host: str, port: int, data_dir: Path) -> None:
    """Serve until told to stop, then drain."""
    configure_logging("leadline")
    assessor = load_settings(AssessorSettings)
    async with embedded(data_dir, assessor, DRAIN_SECONDS) as runtime:
        routes = [
            *ingest_routes(runtime.ingest_store, runtime.runs, now),
            *results_routes(runtime.result_store, now),
        ]
        app = build_app("Leadline", routes, runtime.health, runtime.metrics)
        async with serving(app, host, port, DRAIN_SECONDS) as address:
            Console(stderr=True).print(
                f"Leadline is at {address} (try {address}/schema); data in {data_dir}. Ctrl-C stops it.",
                highlight=False,
            )
            await until_signalled(runtime.health)
