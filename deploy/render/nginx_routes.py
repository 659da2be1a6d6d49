"""The gateway's form of the table of routes: a map of nginx from method and path to the service."""

from collections.abc import Iterator
from pathlib import Path

from leadline_common.http.api import ALIASES
from leadline_common.http.service_map import HOME, ROUTES, SHARED, SHARED_BY, Route

TARGET = Path(__file__).parents[1] / "gateway" / "routes.conf"
_HEAD = """\
# Made by `make manifests` from libs/common/src/leadline_common/http/service_map.py.
# The first line that matches decides; what none matches, no service answers.
map "$request_method $uri" $leadline_service {
    default "";
"""
_ANY_METHOD = "[^ ]+"


def render() -> str:
    """Return the map."""
    rows = dict.fromkeys(f'    "~^{wanted}" {service};\n' for wanted, service in _rows())
    return "".join([_HEAD, *rows, "}\n"])


def _rows() -> Iterator[tuple[str, str]]:
    """What every service has; each route by its method; what is near it; each path for all other methods."""
    yield f"{_ANY_METHOD} {_under_api(HOME)}$", SHARED_BY
    for path in SHARED:
        yield f"{_ANY_METHOD} {_under_api(path)}(?:/|$)", SHARED_BY
    for route in ROUTES:
        yield from ((f"{_method(route)} {pattern}", route.service) for pattern in _patterns(route.path))
    for route in ROUTES:
        if route.start:
            yield f"{_method(route)} {_under_api(route.start)}/+[^/]", route.service
    for route in ROUTES:
        yield from ((f"{_ANY_METHOD} {pattern}", route.service) for pattern in _patterns(route.path))


def _method(route: Route) -> str:
    return "(?:GET|HEAD)" if route.method == "GET" else route.method


def _patterns(path: str) -> Iterator[str]:
    """Match a path of the table and its other names, whatever slashes stand at the end."""
    segments = path.removesuffix("/*").replace("*", "[^/]*")
    # A slash at the end is nothing below a path yet.
    yield _under_api(segments) + ("/+[^/]" if path.endswith("/*") else "/*$")
    yield from (f"/api/+{alias.removeprefix('/')}/*$" for alias, meant in ALIASES.items() if meant == path)


def _under_api(pattern: str) -> str:
    return f"(?:/api/*)?{pattern}"
