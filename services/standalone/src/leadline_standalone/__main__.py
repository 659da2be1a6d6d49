"""`python -m leadline_standalone`, the same as `leadline`."""

from leadline_standalone.cli import main

if __name__ == "__main__":
    main()
