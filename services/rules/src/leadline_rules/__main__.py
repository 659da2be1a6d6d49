"""`python -m leadline_rules`, also `leadline-rules`."""

from leadline_common.command import run_service
from leadline_rules import app
from leadline_rules.settings import RulesSettings


def main() -> None:
    """Run the command line of the service."""
    run_service("rules", RulesSettings, app.main)


if __name__ == "__main__":
    main()
