"""The `leadline` command, run as a person runs it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Leadline(Protocol):
    """Runs the command in the test's own folder, where its temporary files stay too."""

    def __call__(self, *arguments: str | Path, **settings: str) -> Ran: ...


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No key, the offline assessor, and temporary files in a folder of the test's own."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    theirs = ("ANTHROPIC_", "GEMINI_", "GOOGLE_", "OPENAI_", "LEADLINE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    return {**kept, "LEADLINE_AI": "offline", "TMPDIR": str(temporary), "COLUMNS": "160"}


@pytest.fixture
def leadline(tmp_path: Path, environment: dict[str, str]) -> Leadline:
    """The command."""

    def run(*arguments: str | Path, **settings: str) -> Ran:
        ended = subprocess.run(
            command(arguments),
            cwd=tmp_path,
            env={**environment, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture
def score(leadline: Leadline) -> Leadline:
    """`leadline score` of the example prospects, or of the file that is named first."""

    def run(*arguments: str | Path, **settings: str) -> Ran:
        leads, *more = arguments or [EXAMPLES / "leads.csv"]
        return leadline("score", leads, "--offer", EXAMPLES / "offer.json", *more, **settings)

    return run


def command(arguments: Sequence[str | Path]) -> list[str]:
    """Return the command line."""
    return [sys.executable, "-m", "leadline_standalone", *map(str, arguments)]
