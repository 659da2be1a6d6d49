"""Memory limits for processes, as a container has them: a control group of the kernel's, version 1 or 2."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


class NoMemoryLimits(Exception):
    """Control groups cannot be made here; the text says why."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A control group with a memory limit. The kernel kills a process in it that needs more."""

    folder: Path
    events: str

    @property
    def launcher(self) -> Sequence[str]:
        """The words to put before a command to have it run inside from its first instruction."""
        return "/bin/sh", "-c", f'echo $$ > {self.folder / "cgroup.procs"} && exec "$@"', "limited"

    @property
    def kills(self) -> int:
        """How many processes were killed for want of memory."""
        counts = dict(line.split() for line in (self.folder / self.events).read_text().splitlines())
        return int(counts["oom_kill"])

    def close(self) -> None:
        """Remove the group once its processes have ended."""
        self.folder.rmdir()


@contextlib.contextmanager
def memory_limit(name: str, limit: int) -> Iterator[MemoryLimit]:
    """Make a group that may use `limit` bytes and no swap. Raises NoMemoryLimits."""
    first_version = (_ROOT / "memory").is_dir()
    parent = _ROOT / "memory" if first_version else _ROOT
    group = MemoryLimit(
        parent / f"leadline-{os.getpid()}-{name}", "memory.oom_control" if first_version else "memory.events"
    )
    limit_file, swap_file, swap = (
        ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", limit)
        if first_version
        else ("memory.max", "memory.swap.max", 0)
    )
    try:
        group.folder.mkdir()
        (group.folder / limit_file).write_text(str(limit))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.folder.rmdir()
        raise NoMemoryLimits(f"no memory limit can be set here ({error})") from None
    with contextlib.suppress(OSError):  # where the kernel does not account for swap
        (group.folder / swap_file).write_text(str(swap))
    try:
        yield group
    finally:
        group.close()
