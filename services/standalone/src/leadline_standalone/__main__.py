"""`python -m leadline_standalone`, the same as `leadline`."""

import sys

from leadline_common.process.signals import end_when_told


def main() -> None:
    """Run the command."""
    if sys.argv[1:2] == ["serve"]:
        end_when_told()
    # After that: loading it takes a second.
    from leadline_standalone import cli  # noqa: PLC0415

    cli.main()


if __name__ == "__main__":
    main()
