"""`python -m leadline_ai`, also `leadline-ai`."""

from leadline_common.process.command import run_service


def main() -> None:
    """Run the command line of the service."""
    run_service(
        "ai",
        settings="leadline_ai.settings:AiSettings",
        compose="leadline_ai.app:compose",
    )


if __name__ == "__main__":
    main()
