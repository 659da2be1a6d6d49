"""Query parameters against a route's own signature, before the route is called.

A parameter that the route does not take, or takes once and was sent twice, would silently change nothing.
What is wrong is said in words for who writes the query, not in those of the program's types.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from types import NoneType
from typing import Any, get_args
from urllib.parse import parse_qsl, urlencode

from litestar.enums import ParamType
from litestar.handlers import BaseRouteHandler
from litestar.params import ParameterKwarg
from litestar.types import HTTPScope
from litestar.typing import FieldDefinition

from leadline_common.http.names import not_known
from leadline_common.http.problems import wrong_fields
from leadline_contracts.errors import FieldError

_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,18})?", re.ASCII)
_BOOLEANS = frozenset({"true", "false", "1", "0"})

Parameters = Mapping[str, FieldDefinition]
"""What a route takes in its query, itself and through its dependencies, by the names that clients write."""


def parameters_of(handler: BaseRouteHandler) -> Parameters:
    """Return what the handler takes in the query."""
    return dict(_gathered(handler, handler.parsed_fn_signature.parameters))


def _gathered(
    handler: BaseRouteHandler, fields: Mapping[str, FieldDefinition]
) -> Iterator[tuple[str, FieldDefinition]]:
    dependencies = handler.resolve_dependencies()
    for name, field in fields.items():
        definition = field.kwarg_definition
        if name in dependencies:
            yield from _gathered(handler, dependencies[name].parsed_fn_signature.parameters)
        elif isinstance(definition, ParameterKwarg) and definition.param_type == ParamType.QUERY:
            yield definition.name or name, field


def check_query(scope: HTTPScope, taken: Parameters) -> None:
    """Refuse a query that the route cannot read. Raises Problem (422), with an entry for each fault.

    Choices may be written in any case: the route finds them in the scope as they are spelt in its signature.
    """
    sent = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    read = [(name, _spelt(taken[name], text) if name in taken else text) for name, text in sent]
    if errors := list(_faults(read, taken)):
        raise wrong_fields(errors)
    if read != sent:
        scope["query_string"] = urlencode(read).encode()


def _faults(sent: Iterable[tuple[str, str]], taken: Parameters) -> Iterable[FieldError]:
    times = Counter(name for name, _ in sent)
    for name, text in dict(sent).items():
        if name not in taken:
            yield not_known(name, taken)
        elif times[name] > 1:
            yield FieldError(name, f"is there {times[name]} times; give it once")
        elif wanted := _wanted(taken[name], text):
            yield FieldError(name, f"must be {wanted}")


def _spelt(field: FieldDefinition, text: str) -> str:
    return next((choice for choice in _choices(field) if choice.casefold() == text.casefold()), text)


def _choices(field: FieldDefinition) -> list[str]:
    return [str(choice) for choice in _extra(field).get("enum", ())]


def _extra(field: FieldDefinition) -> Mapping[str, Any]:
    return getattr(field.kwarg_definition, "schema_extra", None) or {}


def _wanted(field: FieldDefinition, text: str) -> str:
    """Return what would be right in place of a text, nothing where it is right."""
    kinds = {kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not NoneType}
    limits = field.kwarg_definition
    if choices := _choices(field):
        return "" if text in choices else f"one of {', '.join(choices)}"
    if bool in kinds:
        return "" if text.casefold() in _BOOLEANS else "true or false"
    if int in kinds:
        return _number(text, _WHOLE, limits, "a whole number")
    if float in kinds:
        return _number(text, _NUMBER, limits, "a number")
    if _extra(field).get("format") == "date-time":
        return "" if _is_date(text) else "a date or a time, like 2026-11-21 or 2026-11-21T06:28:36Z"
    least = getattr(limits, "min_length", None) or 0
    return "" if len(text) >= least else "more than nothing; leave it out to have all"


def _number(text: str, form: re.Pattern[str], limits: Any, words: str) -> str:
    least, most = getattr(limits, "ge", None), getattr(limits, "le", None)
    if least is not None and most is not None:
        words += f" from {least:g} to {most:g}"
    fits = form.fullmatch(text) and (least is None or float(text) >= least)
    return "" if fits and (most is None or float(text) <= most) else words


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
