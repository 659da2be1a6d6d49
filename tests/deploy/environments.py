"""A service's environment as deploy/install-service makes it, and what is found in it."""

import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

Tree = dict[str, tuple[int, float, str]]

_NEEDS = {"http": ("http",), "mongo": ("storage.mongo", "idempotency.mongo")}
"""What of leadline_common needs an extra."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What was installed for a service into `target`, from the repository's files in `source`."""

    service: str
    source: Path
    target: Path

    def install(self, wheels: Path) -> None:
        """Run the build's step, which leaves its sources as they were; `wheels` stand in for the index."""
        before = tree(self.source).keys()
        index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
        ended = subprocess.run(
            [self.source / "deploy/install-service", self.service, self.target],
            env={**os.environ, **index, "PYTHON": sys.executable},
            check=False,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        assert tree(self.source).keys() == before

    @property
    def command(self) -> Path:
        """What the image runs."""
        return self.target / "bin/leadline-service"

    @property
    def packages(self) -> Path:
        """The folder of the installed packages."""
        (folder,) = self.target.glob("lib/python3.*/site-packages")
        return folder

    def distributions(self) -> dict[str, str]:
        """Return name and version of all that is installed."""
        found = importlib.metadata.distributions(path=[str(self.packages)])
        return {canonicalize_name(distribution.name): distribution.version for distribution in found}

    def requirements(self) -> list[Requirement]:
        """Return what the service asks for, as its wheel says."""
        return [Requirement(line) for line in self._metadata(f"leadline-{self.service}").requires or []]

    def members(self) -> set[str]:
        """Return the service and those of our libraries that it needs, itself or through another."""
        found: set[str] = set()
        open_ends = [f"leadline-{self.service}"]
        while open_ends:
            name = open_ends.pop()
            found.add(name)
            asked = [Requirement(line).name for line in self._metadata(name).requires or []]
            open_ends += [other for other in asked if other.startswith("leadline-") and other not in found]
        return found

    def locked(self) -> dict[str, str]:
        """Return name and version of what the service's lock file names for this machine."""
        lock = (self.source / f"services/{self.service}/requirements.lock").read_text()
        lines = re.findall(r"^(\S+)==(\S+)(?: ; (.*?))? \\$", lock, flags=re.MULTILINE)
        return {name: version for name, version, marker in lines if not marker or Marker(marker).evaluate()}

    def sources(self) -> set[str]:
        """Return the files of our members that are installed, as they were before."""
        return {
            str(path.relative_to(folder))
            for folder in self.source.glob("*/*/src")
            for path in folder.rglob("*")
            if path.is_file() and (self.packages / path.relative_to(folder).parts[0]).exists()
        }

    def installed_sources(self) -> set[str]:
        """Return the files of our members as they are installed."""
        return {
            str(path.relative_to(self.packages))
            for folder in self.packages.glob("leadline_*")
            for path in folder.rglob("*")
            if folder.suffix != ".dist-info" and path.is_file() and path.parent.name != "__pycache__"
        }

    def modules(self) -> list[str]:
        """Return our modules, but those of leadline_common that need an extra the service does not ask for.

        `_NEEDS` says which need one.
        """
        asked = [asked.extras for asked in self.requirements() if asked.name == "leadline-common"]
        extras = self._metadata("leadline-common").metadata.get_all("Provides-Extra") or []
        lacking = set(extras).difference(*asked)
        left_out = tuple(f"leadline_common.{module}" for extra in lacking for module in _NEEDS[extra])
        files = [path for path in sorted(self.sources()) if path.endswith(".py")]
        modules = [file[:-3].replace("/", ".").removesuffix(".__init__") for file in files]
        return [name for name in modules if not name.startswith(left_out)]

    def _metadata(self, name: str) -> importlib.metadata.Distribution:
        (distribution,) = importlib.metadata.distributions(name=name, path=[str(self.packages)])
        return distribution


def run_alone(
    command: Sequence[str | Path], settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end with these variables as its whole environment, far from the repository."""
    return subprocess.run(command, cwd="/", env=settings or {}, check=False, capture_output=True, text=True)


def tree(folder: Path) -> Tree:
    """Return mode, time and content of everything in a folder."""
    return {str(path.relative_to(folder)): _entry(path) for path in folder.rglob("*")}


def _entry(path: Path) -> tuple[int, float, str]:
    status = path.lstat()
    if path.is_symlink():
        content = str(path.readlink())
    else:
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return status.st_mode, status.st_mtime, content
