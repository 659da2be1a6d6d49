"""`python -m leadline_ingest`, also `leadline-ingest`."""

from leadline_common.process.command import run_service


def main() -> None:
    """Run the command line of the service."""
    run_service(
        "ingest",
        settings="leadline_ingest.settings:IngestSettings",
        compose="leadline_ingest.app:compose",
        migrate="leadline_ingest.app:migrate",
    )


if __name__ == "__main__":
    main()
