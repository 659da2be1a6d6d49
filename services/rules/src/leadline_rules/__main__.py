"""`python -m leadline_rules`, also `leadline-rules`."""

from typing import TYPE_CHECKING

from leadline_common.process.command import run_service

if TYPE_CHECKING:
    from leadline_common.process.main import Stop
    from leadline_rules.settings import RulesSettings


def main() -> None:
    """Run the command line of the service."""
    run_service("rules", _settings, _serve)


# Loaded when they are needed, see `leadline_common.process.command`.


def _settings() -> "type[RulesSettings]":
    from leadline_rules.settings import RulesSettings  # noqa: PLC0415

    return RulesSettings


async def _serve(stop: "Stop") -> None:
    from leadline_rules import app  # noqa: PLC0415

    await app.main(stop)


if __name__ == "__main__":
    main()
