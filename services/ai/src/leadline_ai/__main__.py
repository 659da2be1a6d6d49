"""`python -m leadline_ai`."""

from leadline_ai.app import main
from leadline_common.service import run_main

if __name__ == "__main__":
    run_main(main)
