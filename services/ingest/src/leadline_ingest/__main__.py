"""`python -m leadline_ingest`."""

from leadline_common.service import run_main
from leadline_ingest.app import main

if __name__ == "__main__":
    run_main(main)
