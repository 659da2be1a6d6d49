"""The question to a language model at each step of a workflow, and the reading of its answer."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from leadline_ai.prompt_text import fence, first_fault, one_line
from leadline_ai.providers.port import Question
from leadline_contracts.inbound import (
    Category,
    Classification,
    ClassifyStep,
    ExtractStep,
    Judgement,
    JudgeStep,
    SalesExistingExtraction,
    SalesNewExtraction,
    SpamExtraction,
    SupportExtraction,
    UnknownExtraction,
    checked_output,
)
from leadline_text.clip import clip

AskedStep = ClassifyStep | ExtractStep | JudgeStep
STEPS: Mapping[str, type[AskedStep]] = {step.TYPE: step for step in (ClassifyStep, ExtractStep, JudgeStep)}
"""The steps that ask for a judgement, by message type."""

_PROMPTS = {ClassifyStep.TYPE: "classify.v1", ExtractStep.TYPE: "extract.v1", JudgeStep.TYPE: "route.v1"}
_EXTRACTIONS: Mapping[Category, type[BaseModel]] = {
    "sales_new": SalesNewExtraction,
    "sales_existing": SalesExistingExtraction,
    "support": SupportExtraction,
    "spam": SpamExtraction,
    "unknown": UnknownExtraction,
}
# What the schemas of structured outputs do not take; the contract itself is held to when the answer is read.
_NOT_ASKED = {"title", "default", "description", "format", "pattern", "minLength", "maxLength", "minimum"} | {
    "maximum",
    "minItems",
    "maxItems",
    "discriminator",
}
_OBJECT = TypeAdapter(dict[str, object])
_NAME_LIMIT = 200
_MESSAGE_LIMIT = 8_000
_MAX_TOKENS = 2_048


@dataclass(frozen=True, slots=True)
class StepPrompt:
    """A version of one step's instructions."""

    version: str
    system: str
    body: Template
    correction: Template


class Unreadable(ValueError):
    """An answer that does not fit; the text says what was wrong in our own words."""


@cache
def prompt_of(kind: str) -> StepPrompt:
    """Return the prompt of a step's message type."""
    version = _PROMPTS[kind]
    text = files("leadline_ai").joinpath("prompts", f"{version}.toml").read_text(encoding="utf-8")
    data = {name: part.strip() for name, part in tomllib.loads(text).items()}
    return StepPrompt(version, data["system"], Template(data["body"]), Template(data["correction"]))


def question_about(step: AskedStep, fault: str = "") -> Question:
    """Return what is asked at a step; `fault` is what was wrong with an earlier answer."""
    prompt = prompt_of(step.TYPE)
    body = prompt.body.substitute(_told(step))
    if fault:
        body = f"{body}\n\n{prompt.correction.substitute(fault=fault)}"
    return Question(
        system=prompt.system, prefix="", body=body, schema=_schema(_answer_of(step)), max_tokens=_MAX_TOKENS
    )


def read_step(step: AskedStep, text: str) -> dict[str, object]:
    """Return a model's answer in the form of the step's contract, completed with what was known before.

    Raises Unreadable.
    """
    known = _known(step)
    try:
        said = {name: _plain(value) for name, value in _OBJECT.validate_json(text).items()}
        if said.keys() & known.keys():
            raise Unreadable("the answer does not fit the schema: a key that was not asked for")
        whole = {**said, **known}
        if isinstance(step, JudgeStep):
            judged = Judgement.model_validate_json(json.dumps(whole), strict=True, extra="forbid")
            return judged.model_dump(mode="json")
        return checked_output(step.step, whole)
    except ValidationError as error:
        raise Unreadable(f"the answer does not fit the schema: {first_fault(error)}") from None


def _plain(value: object) -> object:
    """Return the text without control and hidden characters, which a message can make a model write."""
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return one_line(value) if isinstance(value, str) else value


def _answer_of(step: AskedStep) -> type[BaseModel]:
    match step:
        case ClassifyStep():
            return Classification
        case ExtractStep():
            return _EXTRACTIONS[step.classification.category]
        case JudgeStep():
            return Judgement


def _known(step: AskedStep) -> dict[str, object]:
    if isinstance(step, ExtractStep):
        return {"category": step.classification.category, "contact_channel": step.input.contact_channel}
    return {}


def _told(step: AskedStep) -> dict[str, str]:
    said = {"name": clip(step.input.name or "", _NAME_LIMIT), "channel": step.input.contact_channel}
    told = {"message": fence({**said, "text": clip(step.input.message, _MESSAGE_LIMIT)})}
    match step:
        case ClassifyStep():
            return told
        case ExtractStep():
            return {
                **told,
                "category": step.classification.category,
                "received": f"{step.received_at:%A %Y-%m-%d}",
            }
        case JudgeStep():
            facts = {
                "classification": step.classification.model_dump(mode="json"),
                "extraction": step.extraction.model_dump(mode="json"),
            }
            return {**told, "facts": fence(facts), "rules": fence(step.default.model_dump(mode="json"))}


@cache
def _schema(kind: type[BaseModel]) -> Mapping[str, object]:
    """Return a contract's schema as structured outputs need it: all required, no more allowed, no bounds."""
    whole = kind.model_json_schema()
    schema: dict[str, Any] = _asked(whole, whole.get("$defs", {}))
    for known in ("category", "contact_channel") if kind in _EXTRACTIONS.values() else ():
        del schema["properties"][known]
    schema["required"] = list(schema["properties"])
    return schema


def _asked(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_asked(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _asked(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    asked = {
        name: {key: _asked(part, definitions) for key, part in value.items()}
        if name == "properties"
        else _asked(value, definitions)
        for name, value in schema.items()
        if name not in _NOT_ASKED | {"$defs"}
    }
    if "properties" in asked:
        asked |= {"required": list(asked["properties"]), "additionalProperties": False}
    return asked
