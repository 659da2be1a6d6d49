"""`python -m leadline_rules`, also `leadline-rules`."""

from leadline_common.process.command import run_service
from leadline_rules.settings import RulesSettings


def main() -> None:
    """Run the command line of the service."""
    run_service("rules", RulesSettings, _serve)


async def _serve() -> None:
    # Not at the top: a health check comes every few seconds and must not pay for it.
    from leadline_rules import app  # noqa: PLC0415

    await app.main()


if __name__ == "__main__":
    main()
