"""`python -m leadline_ai`, also `leadline-ai`."""

from leadline_ai import app
from leadline_ai.settings import AiSettings
from leadline_common.command import run_service


def main() -> None:
    """Run the command line of the service."""
    run_service("ai", AiSettings, app.main)


if __name__ == "__main__":
    main()
