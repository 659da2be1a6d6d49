"""`python -m leadline_rules`."""

from leadline_common.service import run_main
from leadline_rules.app import main

if __name__ == "__main__":
    run_main(main)
