"""`python -m leadline_ingest`, also `leadline-ingest`."""

from typing import TYPE_CHECKING

from leadline_common.process.command import run_service

if TYPE_CHECKING:
    from leadline_common.process.main import Stop
    from leadline_ingest.settings import IngestSettings


def main() -> None:
    """Run the command line of the service."""
    run_service("ingest", _settings, _serve, _migrate)


# Loaded when they are needed, see `leadline_common.process.command`.


def _settings() -> "type[IngestSettings]":
    from leadline_ingest.settings import IngestSettings  # noqa: PLC0415

    return IngestSettings


async def _serve(stop: "Stop") -> None:
    from leadline_ingest import app  # noqa: PLC0415

    await app.main(stop)


async def _migrate() -> None:
    from leadline_ingest import app  # noqa: PLC0415

    await app.migrate()


if __name__ == "__main__":
    main()
