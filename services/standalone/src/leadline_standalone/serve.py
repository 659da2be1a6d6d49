"""`leadline serve`: the whole of Leadline behind one address."""

from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.text import Text

from leadline_ai.settings import AssessorSettings
from leadline_common.http.api import build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.http.server import serving
from leadline_common.process.main import Stop
from leadline_common.process.settings import check_loopback, load_settings
from leadline_common.telemetry.logs import configure_logging
from leadline_common.telemetry.tracing import recorded
from leadline_ingest.app import build_accounts
from leadline_standalone.all_routes import TITLE, all_routes
from leadline_standalone.runtime import embedded
from leadline_standalone.secret import kept_secret
from leadline_standalone.settings import ServeSettings
from leadline_standalone.unfinished import notices

DRAIN_SECONDS = 20.0


async def serve(stop: Stop, host: str, port: int, data_dir: Path) -> None:
    """Serve until told to stop, then drain.

    Raises SettingsError where it would be open to all on an address that others reach.
    """
    configure_logging("leadline")
    assessor, settings = load_settings(AssessorSettings), load_settings(ServeSettings)
    if settings.auth == "open":
        check_loopback(host)
    async with AsyncExitStack() as stack:
        stack.enter_context(recorded(settings.otel_service_name or "leadline", settings.otlp_endpoint))
        runtime = await stack.enter_async_context(embedded(data_dir, assessor, DRAIN_SECONDS))
        tokens = Tokens(settings.jwt_secret or [kept_secret(data_dir)])
        accounts = build_accounts(runtime.ingest_store, tokens, settings.token_hours)
        routes = all_routes(runtime, accounts, settings.trusted_proxies)
        authentication = Authentication(tokens, open_to_all=settings.auth == "open")
        app = build_app(
            TITLE,
            routes,
            runtime.health,
            runtime.metrics,
            authentication,
            cors_origins=settings.cors_origins,
            idempotency=runtime.ingest_store,
        )
        console = Console(stderr=True)
        for line in notices(runtime.left_alone, data_dir):
            console.print(Text(f"leadline: {line}", style="yellow"), soft_wrap=True)
        async with serving(app, host, port, DRAIN_SECONDS, runtime.health) as address:
            console.print(
                f"Leadline is at {address} (try {address}/schema); data in {data_dir}. Ctrl-C stops it.",
                highlight=False,
            )
            await stop.until_told(runtime.health)
