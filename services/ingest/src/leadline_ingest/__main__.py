"""`python -m leadline_ingest`, also `leadline-ingest`."""

from leadline_common.command import run_service
from leadline_ingest import app
from leadline_ingest.settings import IngestSettings


def main() -> None:
    """Run the command line of the service."""
    run_service("ingest", IngestSettings, app.main, app.migrate)


if __name__ == "__main__":
    main()
