"""`python -m leadline_results`, also `leadline-results`."""

from leadline_common.process.command import run_service


def main() -> None:
    """Run the command line of the service."""
    run_service(
        "results",
        settings="leadline_results.settings:ResultsSettings",
        compose="leadline_results.app:compose",
        migrate="leadline_results.app:migrate",
    )


if __name__ == "__main__":
    main()
