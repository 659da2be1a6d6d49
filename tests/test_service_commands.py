"""The command line of each service, as its package names what it runs."""

import subprocess
import sys

import pytest

from leadline_testing.services import SERVICES

COMMANDS = [
    *((name, command) for name in SERVICES for command in ("serve", "health")),
    ("ingest", "migrate"),
    ("results", "migrate"),
]


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_every_command_asks_for_its_settings(name: str, command: str) -> None:
    """What is loaded for a command is there, and a missing setting ends it with 2 and one line."""
    ran = subprocess.run(
        [sys.executable, "-m", f"leadline_{name}", command],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("leadline: LEADLINE_BROKER_URL ")
    assert ran.stderr.count("\n") == 1
