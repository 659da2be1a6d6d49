"""`python -m leadline_ingest`, also `leadline-ingest`."""

from leadline_common.process.command import run_service
from leadline_ingest.settings import IngestSettings


def main() -> None:
    """Run the command line of the service."""
    run_service("ingest", IngestSettings, _serve, _migrate)


async def _serve() -> None:
    # Not at the top: a health check comes every few seconds and must not pay for it.
    from leadline_ingest import app  # noqa: PLC0415

    await app.main()


async def _migrate() -> None:
    from leadline_ingest import app  # noqa: PLC0415

    await app.migrate()


if __name__ == "__main__":
    main()
