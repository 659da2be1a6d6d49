"""`python -m leadline_results`, also `leadline-results`."""

from leadline_common.command import run_service
from leadline_results import app
from leadline_results.settings import ResultsSettings


def main() -> None:
    """Run the command line of the service."""
    run_service("results", ResultsSettings, app.main, app.migrate)


if __name__ == "__main__":
    main()
