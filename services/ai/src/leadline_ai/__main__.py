"""`python -m leadline_ai`, also `leadline-ai`."""

from typing import TYPE_CHECKING

from leadline_common.process.command import run_service

if TYPE_CHECKING:
    from leadline_ai.settings import AiSettings
    from leadline_common.process.main import Stop


def main() -> None:
    """Run the command line of the service."""
    run_service("ai", _settings, _serve)


# Loaded when they are needed, see `leadline_common.process.command`.


def _settings() -> "type[AiSettings]":
    from leadline_ai.settings import AiSettings  # noqa: PLC0415

    return AiSettings


async def _serve(stop: "Stop") -> None:
    from leadline_ai import app  # noqa: PLC0415

    await app.main(stop)


if __name__ == "__main__":
    main()
