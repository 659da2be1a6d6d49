"""JSON bodies against the models that routes declare: fields that no model knows are refused."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from litestar.plugins.pydantic import PydanticInitPlugin
from pydantic import BaseModel, ValidationError

from leadline_common.http.names import not_known
from leadline_common.http.problems import said, wrong_fields
from leadline_contracts.errors import FieldError

_SHOWN = 100
_QUOTED = re.compile(r"'([^']*)'")


class StrictBodies(PydanticInitPlugin):
    """Reads bodies as every route wants them: a misspelt field would silently be left out otherwise.

    The models themselves stay tolerant where other systems' messages are read with them.
    """

    @classmethod
    def decoders(
        cls, validate_strict: bool = False
    ) -> list[tuple[Callable[[Any], bool], Callable[[Any, Any], Any]]]:
        """Return the framework's own decoders, after ours for models."""
        return [(_is_model, _read), *super().decoders(validate_strict)]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _read(model: type[BaseModel], value: Any) -> BaseModel:
    """Return the body as the model. Raises Problem (422), with an entry for each wrong field."""
    try:
        return model.model_validate(value, extra="forbid")
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise wrong_fields([_told(model, detail) for detail in details]) from None


def _told(model: type[BaseModel], detail: Mapping[str, Any]) -> FieldError:
    path = detail["loc"]
    field = ".".join(str(part)[:_SHOWN] for part in path) or "body"
    if detail["type"] == "extra_forbidden":
        return not_known(str(path[-1]), _fields(_model_at(model, path[:-1])), ".".join(map(str, path[:-1])))
    if detail["type"] in {"model_type", "dict_type"}:
        known = ", ".join(_fields(_model_at(model, path)))
        return FieldError(field, f"must be an object ({{...}}) with the fields {known}")
    if detail["type"] in {"literal_error", "enum"}:
        choices = _QUOTED.findall(str((detail.get("ctx") or {}).get("expected", "")))
        return FieldError(field, f"must be one of {', '.join(choices)}")
    return FieldError(field, said(detail["msg"]))


def _fields(model: type[BaseModel] | None) -> list[str]:
    return list(model.model_fields) if model else []


def _model_at(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel] | None:
    """Return the model that stands at the path; None where there is none."""
    found: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, str) and found is not None:
            field = found.model_fields.get(part)
            found = next(_models_in(field.annotation), None) if field else None
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in an annotation such as `list[Model]` or `Model | None`."""
    if _is_model(annotation):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
