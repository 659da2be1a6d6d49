"""`python -m leadline_results`."""

from leadline_common.service import run_main
from leadline_results.app import main

if __name__ == "__main__":
    run_main(main)
