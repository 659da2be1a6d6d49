"""The service map: the one table of which service answers which request, for gateways and manifests too."""

from typing import NamedTuple


class Route(NamedTuple):
    """Requests of this method whose path is this one; `*` is any segment, at the end with all below it."""

    method: str
    path: str
    service: str

    @property
    def start(self) -> str:
        """What stands before the first `*`, empty where there is none: as far as a prefix can tell."""
        return self.path.partition("/*")[0] if "*" in self.path else ""


ROUTES = (
    Route("POST", "/auth/signup", "ingest"),
    Route("POST", "/auth/login", "ingest"),
    Route("GET", "/auth/me", "ingest"),
    Route("POST", "/offer", "ingest"),
    Route("GET", "/offers", "ingest"),
    Route("GET", "/offers/*", "ingest"),
    Route("POST", "/leads/upload", "ingest"),
    Route("POST", "/leads/upload/*", "ingest"),
    Route("GET", "/uploads", "ingest"),
    Route("GET", "/uploads/*", "ingest"),
    Route("GET", "/uploads/*/errors.csv", "ingest"),
    Route("POST", "/score", "ingest"),
    Route("POST", "/score/*", "ingest"),
    Route("GET", "/results", "results"),
    Route("GET", "/results/export", "results"),
    Route("GET", "/results/*", "results"),
    Route("GET", "/runs", "results"),
    Route("GET", "/runs/*", "results"),
    Route("POST", "/runs/*/cancel", "ingest"),
    Route("POST", "/leads", "ingest"),
    Route("GET", "/leads", "results"),
    Route("GET", "/leads/*", "results"),
    Route("GET", "/leads/*/events", "results"),
    Route("POST", "/leads/*/retry", "results"),
)

SHARED = ("/health", "/schema")
"""What every service answers, with all below it; behind a gateway it is the service's that takes leads in.

`/metrics` is not among them: Prometheus asks each process itself, and nobody else is to.
"""
HOME = "/"
"""What leads to the page of the schema, in every service too, with nothing below it."""
SHARED_BY = "ingest"


def service_for(method: str, path: str) -> str | None:
    """Return the service that answers a request whose path has no /api in front; None where none does.

    HEAD goes where GET goes. Other paths below the start of a route go where that goes, for gateways that
    know prefixes alone; a path that only another method knows goes to that method's service. Either refuses
    it properly.
    """
    wanted = "GET" if method == "HEAD" else method
    plain = path.rstrip("/") or "/"
    if path == HOME or any(plain == shared or plain.startswith(f"{shared}/") for shared in SHARED):
        return SHARED_BY
    matching = [route for route in ROUTES if _matches(route.path, plain)]
    exact = [route for route in matching if route.method == wanted]
    near = [route for route in ROUTES if route.method == wanted and _is_below(route.start, plain)]
    return next((route.service for route in exact or near or matching), None)


def _is_below(start: str, path: str) -> bool:
    return bool(start) and path.startswith(f"{start}/")


def _matches(pattern: str, path: str) -> bool:
    wanted, parts = pattern.split("/"), path.split("/")
    enough = len(parts) >= len(wanted) if wanted[-1] == "*" else len(parts) == len(wanted)
    return enough and all(want in ("*", part) for want, part in zip(wanted, parts, strict=False))
