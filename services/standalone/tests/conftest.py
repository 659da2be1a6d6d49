"""The `leadline` command, run as a person runs it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple, Protocol

import pytest

from leadline_testing.fork_server import Start, Started

EXAMPLES = Path(__file__).parents[3] / "examples"


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Running:
    """The command under way, in a session of its own; what it writes is kept in temporary files."""

    def __init__(self, arguments: Sequence[str | Path], environment: Mapping[str, str], folder: Path) -> None:
        self._out, self._err = TemporaryFile(), TemporaryFile()  # noqa: SIM115 - closed in `ended`
        command = ["leadline_standalone", *map(str, arguments)]
        start = Start(command, environment, folder, self._out, self._err, new_session=True)
        self.process: Started = start.forked()

    def ended(self) -> Ran:
        """Wait for its end."""
        with self._out, self._err:
            code = self.process.wait(120)
            return Ran(code, *(_text(file) for file in (self._out, self._err)))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


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
        return Running(arguments, {**environment, **settings}, tmp_path).ended()

    return run


@pytest.fixture
def score(leadline: Leadline) -> Leadline:
    """`leadline score` of the example prospects, or of the file that is named first."""

    def run(*arguments: str | Path, **settings: str) -> Ran:
        leads, *more = arguments or [EXAMPLES / "leads.csv"]
        return leadline("score", leads, "--offer", EXAMPLES / "offer.json", *more, **settings)

    return run
