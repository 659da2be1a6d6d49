"""`python -m leadline_ai`, also `leadline-ai`."""

from leadline_ai.settings import AiSettings
from leadline_common.process.command import run_service


def main() -> None:
    """Run the command line of the service."""
    run_service("ai", AiSettings, _serve)


async def _serve() -> None:
    # Not at the top: a health check comes every few seconds and must not pay for it.
    from leadline_ai import app  # noqa: PLC0415

    await app.main()


if __name__ == "__main__":
    main()
