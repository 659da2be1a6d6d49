"""The image's recipe as a build reads it: the Dockerfile's instructions, and the files that reach it."""

import shutil
import subprocess
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]


def instructions(name: str) -> list[str]:
    """Return what follows each instruction of this name in the Dockerfile, its lines joined."""
    text = (ROOT / "deploy/Dockerfile").read_text().replace("\\\n", " ")
    words = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    return [rest for instruction, rest in words if instruction == name]


def copied_sources(service: str) -> list[str]:
    """Return the paths that the build of this service copies from the repository."""
    copies = [copy.split()[:-1] for copy in instructions("COPY") if not copy.startswith("--from")]
    return [source.replace("${SERVICE}", service) for sources in copies for source in sources]


def reaches_the_build(path: str) -> bool:
    """Tell whether .dockerignore lets a file through; the last pattern that fits it decides."""
    lets_through = True
    for pattern in _ignore_patterns():
        if pattern == "*":
            lets_through = False
        elif pattern.startswith("!"):
            lets_through = lets_through or PurePosixPath(path).is_relative_to(pattern[1:])
        else:
            assert pattern.startswith("**/"), f"this kind of pattern is not read here: {pattern}"
            lets_through = lets_through and pattern.removeprefix("**/") not in PurePosixPath(path).parts
    return lets_through


def files_under(source: str) -> list[str]:
    """Return the repository's files at or under a path that reach the build."""
    return [
        path
        for path in _repository_files()
        if PurePosixPath(path).is_relative_to(source) and reaches_the_build(path)
    ]


def copy_sources(service: str, folder: Path) -> None:
    """Copy into the folder what the build of this service copies, and nothing else."""
    for source in copied_sources(service):
        for path in files_under(source):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, folder / path)


def _ignore_patterns() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@cache
def _repository_files() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for path in listed.split("\0") if path and (ROOT / path).is_file()]
