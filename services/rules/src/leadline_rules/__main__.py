"""`python -m leadline_rules`, also `leadline-rules`."""

from leadline_common.process.command import run_service


def main() -> None:
    """Run the command line of the service."""
    run_service(
        "rules",
        settings="leadline_rules.settings:RulesSettings",
        compose="leadline_rules.app:compose",
    )


if __name__ == "__main__":
    main()
