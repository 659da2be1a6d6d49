"""The HTTPRoute of the Kubernetes manifests, from the one table of routes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from leadline_common.http.api import ALIASES
from leadline_common.http.service_map import HOME, ROUTES, SHARED, service_for

TARGET = Path(__file__).parents[1] / "k8s" / "components" / "gateway" / "http-route.yaml"

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_OTHERS = "OPTIONS"
_STREAMS = ("/leads", "/results/export", "/export")
"""Where uploads of up to 2 GB, exports, and the events of a workflow are; an hour is enough for each."""
_HEAD = """\
# Made by `make manifests` from libs/common/src/leadline_common/http/service_map.py.
# Matches are Exact and PathPrefix, which every Gateway knows (Core); methods and timeouts are Extended.
# The services take /api away themselves. /metrics is not here.
"""


class Place(NamedTuple):
    """A path to match, and the path that stands for it in the table."""

    kind: str
    path: str
    sample: str

    @property
    def timeout(self) -> str:
        """How long a request may take here."""
        return "1h" if self.path.removeprefix("/api").startswith(_STREAMS) else "90s"

    def service(self, method: str) -> str:
        """Return the service that answers this method here."""
        return service_for(method, self.sample) or ""

    def matches(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (service, match): one for all methods, and one for each that goes elsewhere."""
        path = {"type": self.kind, "value": self.path}
        yield self.service(_OTHERS), {"path": path}
        for method in _METHODS:
            if self.service(method) != self.service(_OTHERS):
                yield self.service(method), {"path": path, "method": method}


def render() -> str:
    """Return the manifest."""
    rules: dict[tuple[str, str], dict[str, Any]] = {}
    for place in _places():
        for service, match in place.matches():
            rule = {
                "backendRefs": [{"name": f"leadline-{service}", "port": 80}],
                "timeouts": {"request": place.timeout},
                "matches": [],
            }
            rules.setdefault((service, place.timeout), rule)["matches"].append(match)
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "leadline"},
        "spec": {
            "parentRefs": [{"name": "gateway", "namespace": "gateway"}],
            "rules": list(rules.values()),
        },
    }
    return _HEAD + yaml.dump(route, Dumper=_Plain, sort_keys=False)


def _places() -> Iterator[Place]:
    """Yield what to match: all below a path, or a path alone; with and without a slash, and /api."""
    paths = [route.path for route in ROUTES] + [f"{path}/*" for path in SHARED]
    starts = dict.fromkeys(path.partition("/*")[0] for path in paths if "*" in path)
    below = [Place("PathPrefix", start, f"{start}/any") for start in starts]
    home = [Place("Exact", HOME, HOME)]
    exact = [place for path in dict.fromkeys(paths) if "*" not in path for place in _exactly(path, path)]
    for place in (*below, *home, *(place for place in exact if not _covered(place, below))):
        yield place
        yield place._replace(path=f"/api{place.path}")
    for alias, path in ALIASES.items():
        yield from _exactly(f"/api{alias}", path)


def _exactly(path: str, sample: str) -> list[Place]:
    return [Place("Exact", path, sample), Place("Exact", f"{path}/", sample)]


def _covered(exact: Place, below: list[Place]) -> bool:
    """Tell whether the longest prefix of this path sends it where it belongs already, for as long."""
    prefixes = [place for place in below if f"{exact.path}/".startswith(f"{place.path}/")]
    longest = max(prefixes, key=lambda place: len(place.path), default=None)
    return (
        longest is not None
        and longest.timeout == exact.timeout
        and all(longest.service(method) == exact.service(method) for method in (*_METHODS, _OTHERS))
    )


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
