"""`python -m leadline_results`, also `leadline-results`."""

from typing import TYPE_CHECKING

from leadline_common.process.command import run_service

if TYPE_CHECKING:
    from leadline_common.process.main import Stop
    from leadline_results.settings import ResultsSettings


def main() -> None:
    """Run the command line of the service."""
    run_service("results", _settings, _serve, _migrate)


# Loaded when they are needed, see `leadline_common.process.command`.


def _settings() -> "type[ResultsSettings]":
    from leadline_results.settings import ResultsSettings  # noqa: PLC0415

    return ResultsSettings


async def _serve(stop: "Stop") -> None:
    from leadline_results import app  # noqa: PLC0415

    await app.main(stop)


async def _migrate() -> None:
    from leadline_results import app  # noqa: PLC0415

    await app.migrate()


if __name__ == "__main__":
    main()
