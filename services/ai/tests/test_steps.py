"""What a model is asked at each step, and how its answer is read."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline_ai.steps.step import AskedStep, Unreadable, question_about, read_step
from leadline_contracts.inbound import Category, JudgeStep, MessageSpec, checked_output
from leadline_testing.model_server import ModelServer
from leadline_testing.tables import every_row

from .provider_cases import CASES, connected
from .step_cases import (
    BY_CATEGORY,
    CATEGORIES,
    CLASSIFIED,
    CORE,
    EVERY_STEP,
    JUDGED,
    answer_step,
    classify_step,
    correction_in,
    extract_step,
    judge_step,
)

BIO = "axolotl"
"""A word of the message and of the answers; no error may repeat it."""
ALLOWED = {"type", "properties", "required", "additionalProperties", "items", "enum", "anyOf"}
LISTED: dict[str, list[str]] = {
    "category": list(CATEGORIES),
    "urgency": ["low", "medium", "high"],
    "timeline": ["now", "<1w", "1-4w", ">1m", "unknown"],
    "budget_range": ["<500", "500-2000", "2000-10000", ">10000", "unknown"],
    "lead_type": ["quote_request", "availability", "pricing", "comparison", "other"],
    "change_request": ["reschedule", "upgrade", "add_on", "cancel", "other"],
    "issue_type": ["billing", "scheduling", "service_quality", "technical", "other"],
    "severity": ["low", "medium", "high"],
    "spam_reason": ["promo", "phishing", "irrelevant", "abusive", "other"],
    "missing_info": ["service_type", "budget", "timeline", "contact", "other"],
    "queue": ["sales", "support", "ignore", "needs_clarification"],
    "priority": ["p0", "p1", "p2"],
}
NULLABLE = {"customer_name", "service_interest", "location", "language", "service_date", "account_hint"}
# google-genai 3.4 makes a subclass that aiohttp 3.14 advises against.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
every_step = pytest.mark.parametrize("step", EVERY_STEP.values(), ids=EVERY_STEP)


def asked_of(step: AskedStep) -> Any:
    return question_about(step).schema


def valid_for(step: AskedStep) -> dict[str, object]:
    """Return an answer that fits."""
    match step.TYPE:
        case "steps.classify.v1":
            return CLASSIFIED
        case "steps.extract.v1":
            return CORE | BY_CATEGORY[step.classification.category]  # type: ignore[union-attr]
    return JUDGED


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Return every schema inside this one, itself first."""
    yield schema
    for part in [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]:
        yield from objects(part)
    if "items" in schema:
        yield from objects(schema["items"])


@every_step
def test_a_schema_has_only_what_structured_outputs_take(step: AskedStep) -> None:
    """One bound, format or optional key and a provider refuses every message."""
    for part in objects(asked_of(step)):
        assert part.keys() <= ALLOWED
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])


@every_step
def test_a_schema_asks_for_the_fields_of_its_step(step: AskedStep) -> None:
    """Each field of the step's contract is asked for, with its values, what is known already is not."""
    properties = asked_of(step)["properties"]

    assert set(properties) == set(valid_for(step))
    for name, part in properties.items():
        listed = part.get("items", part)
        assert listed.get("enum") == LISTED.get(name)
        told = [one["type"] for one in part.get("anyOf", ())]
        assert told == (["string", "null"] if name in NULLABLE else [])


@pytest.mark.parametrize("provider", CASES)
async def test_every_provider_takes_every_question(provider: str) -> None:
    """The schema arrives as it is, no text is empty, and what comes back can be read."""
    async with (
        ModelServer(answer=answer_step) as server,
        connected(CASES[provider], server.base_url) as asked,
    ):
        for step in EVERY_STEP.values():
            reply = await asked.ask(question_about(step))

            assert read_step(step, reply.text)
            request = server.requests[-1]
            assert request.schema == asked_of(step)
            assert '"text": ""' not in json.dumps(request.body)
            assert step.input.message in request.user_text


@every_step
def test_a_valid_answer_becomes_the_output(step: AskedStep) -> None:
    """The fields come out as they were said, in the form that the contract and its reader hold to."""
    output = read_step(step, json.dumps(valid_for(step)))

    assert {name: output[name] for name in valid_for(step)} == valid_for(step)
    if not isinstance(step, JudgeStep):
        assert checked_output(step.step, output) == output


@pytest.mark.parametrize("category", CATEGORIES)
def test_what_is_known_is_added(category: Category) -> None:
    """Category and channel of an extraction are those of the workflow, not of the model."""
    step = extract_step(category, input=MessageSpec(name=None, contact_channel="whatsapp", message="Hi"))

    output = read_step(step, json.dumps(CORE | BY_CATEGORY[category]))

    assert (output["category"], output["contact_channel"]) == (category, "whatsapp")


@pytest.mark.parametrize("name", sorted(NULLABLE & set(CORE)))
def test_what_the_message_does_not_say_is_null(name: str) -> None:
    """A field that the schema lets be null may be, and is kept as that."""
    output = read_step(extract_step("spam"), json.dumps(CORE | BY_CATEGORY["spam"] | {name: None}))

    assert output[name] is None


@every_row("category", CATEGORIES)
@every_row("other", CATEGORIES)
def test_a_field_of_another_category_is_an_error(category: Category, other: Category) -> None:
    """A support case has no lead type, whatever a model says."""
    if category == other:
        return
    for name, value in BY_CATEGORY[other].items():
        answer = CORE | BY_CATEGORY[category] | {name: value}
        with pytest.raises(Unreadable, match="a key that was not asked for"):
            read_step(extract_step(category), json.dumps(answer))


SAID_AGAIN = [("category", "spam"), ("category", "support"), ("contact_channel", "email")]


@pytest.mark.parametrize(("name", "value"), SAID_AGAIN)
def test_an_extraction_cannot_change_what_is_known(name: str, value: str) -> None:
    """A message that talks a model into another category in the second step gets nowhere."""
    answer = CORE | BY_CATEGORY["support"] | {name: value}
    with pytest.raises(Unreadable, match="a key that was not asked for"):
        read_step(extract_step("support"), json.dumps(answer))


MISSING = [
    (name, step_name)
    for step_name, step in EVERY_STEP.items()
    for name in valid_for(step)
    if name not in NULLABLE | {"required_followups"}
]


@every_row(("name", "step_name"), MISSING)
def test_a_missing_field_fails_the_answer(name: str, step_name: str) -> None:
    """Nothing is made up for a field that the contract requires; the fault says which it is."""
    step = EVERY_STEP[step_name]
    answer = {known: value for known, value in valid_for(step).items() if known != name}
    with pytest.raises(Unreadable, match=f"{name}: Field required"):
        read_step(step, json.dumps(answer))


CHANGED = [
    ("classify", "category", BIO, "Input should be 'sales_new'"),
    ("classify", "category", [BIO], "category"),
    ("classify", "category", None, "category"),
    ("classify", "confidence", "0.5", "valid number"),
    ("classify", "confidence", True, "valid number"),
    ("classify", "confidence", 1.01, "less than or equal to 1"),
    ("classify", "confidence", -0.01, "greater than or equal to 0"),
    ("classify", "confidence", float("nan"), "confidence"),
    ("classify", "confidence", float("inf"), "confidence"),
    ("classify", "confidence", 10**400, "confidence"),
    ("classify", "rationale", 7, "valid string"),
    ("classify", "rationale", {BIO: BIO}, "valid string"),
    ("classify", "rationale", " \x00\u202e\n", "at least 1"),
    ("classify", "rationale", BIO * 100, "at most 600"),
    ("classify", BIO, BIO, "a key that was not asked for"),
    ("extract-support", "severity", "extreme", "Input should be 'low'"),
    ("extract-support", "urgency", None, "urgency"),
    ("extract-support", "budget_range", 500, "budget_range"),
    ("extract-support", "customer_name", BIO * 50, "at most 200"),
    ("extract-support", "customer_name", [BIO], "valid string"),
    ("extract-support", "language", "english", "match pattern"),
    ("extract-support", "language", "EN", "match pattern"),
    ("extract-sales_new", "service_date", "next week", "a date like"),
    ("extract-sales_new", "service_date", "2026-02-30", "a date like"),
    ("extract-sales_new", "service_date", 1778457600, "valid string"),
    ("extract-sales_new", "service_date", "2026-05-11T09:00:00Z", "a date like"),
    ("extract-sales_new", "service_date", "0", "a date like"),
    ("extract-unknown", "missing_info", [], "at least 1"),
    ("extract-unknown", "missing_info", ["other"] * 6, "at most 5"),
    ("extract-unknown", "missing_info", ["other", BIO], "Input should be"),
    ("extract-unknown", "missing_info", "other", "valid array"),
    ("judge", "queue", "sales_new", "Input should be 'sales'"),
    ("judge", "priority", 0, "priority"),
    ("judge", "sla_minutes", 30.5, "valid integer"),
    ("judge", "sla_minutes", "30", "valid integer"),
    ("judge", "sla_minutes", 0, "greater than or equal to 1"),
    ("judge", "sla_minutes", 10**9, "less than or equal to"),
    ("judge", "sla_minutes", 10**300, "sla_minutes"),
    ("judge", "required_followups", [BIO] * 11, "at most 10"),
    ("judge", "required_followups", [""], "at least 1"),
    ("judge", "required_followups", [{BIO: BIO}], "valid string"),
    ("judge", "required_followups", None, "valid array"),
    ("judge", "default", {"queue": "sales"}, "a key that was not asked for"),
    ("judge", "guard_rails", [], "a key that was not asked for"),
]


@every_row(("name", "field", "value", "fault"), CHANGED)
def test_a_wrong_field_fails_the_answer(name: str, field: str, value: object, fault: str) -> None:
    """Whatever a schema cannot promise is held to when the answer is read, and named in words of ours."""
    step = EVERY_STEP[name]
    with pytest.raises(Unreadable, match=re.escape(fault)) as raised:
        read_step(step, json.dumps(valid_for(step) | {field: value}))

    assert BIO not in str(raised.value)


WHOLE = json.dumps(CLASSIFIED)
PROSE = [
    "",
    f"I think that {BIO} is support.",
    f"```json\n{WHOLE}\n```",
    f"{WHOLE} {BIO}",
    WHOLE[:-1],
    WHOLE[: len(WHOLE) // 2],
    f"[{WHOLE}]",
    f'"{BIO}"',
    "null",
    "NaN",
    "[" * 100_000,
    '{"confidence": ' + "9" * 5_000 + "}",
    '{"rationale": "\\ud800"}',
    "\x00",
]


@every_row("text", PROSE)
def test_what_is_no_json_object_is_unreadable(text: str) -> None:
    """Prose, fences, lists and half an answer are no answer, and nothing of them is repeated."""
    with pytest.raises(Unreadable, match="the answer does not fit the schema") as raised:
        read_step(classify_step(), text)

    assert BIO not in str(raised.value)
    assert "\n" not in str(raised.value)


ANY_TEXT = st.text(max_size=30).map(lambda text: f"{BIO}{text}")
LABELS = {label for labels in LISTED.values() for label in labels}
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT, st.sampled_from(sorted(LABELS))
)
VALUES = st.recursive(
    SCALARS,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(ANY_TEXT, part, max_size=3),
    max_leaves=5,
)
NAMES = sorted({name for step in EVERY_STEP.values() for name in valid_for(step)})
CHANGES = st.dictionaries(st.sampled_from(NAMES) | ANY_TEXT, VALUES, min_size=1, max_size=3)


def read_or_fault(step: AskedStep, text: str) -> dict[str, object] | str:
    """Return what an answer is read as, or what is wrong with it."""
    try:
        return read_step(step, text)
    except Unreadable as fault:
        return str(fault)


def is_ours(fault: str) -> bool:
    """Tell whether a fault is one short line that holds nothing of the answer."""
    one_line = len(fault) < 300 and "\n" not in fault
    return one_line and fault.startswith("the answer does not fit the schema: ") and BIO not in fault


@given(step=st.sampled_from(list(EVERY_STEP.values())), text=st.text(), whole=st.booleans())
@settings(deadline=None)
def test_any_text_is_read_or_refused(step: AskedStep, text: str, whole: bool) -> None:
    """No text that a provider may send ends in anything but an output or a fault of one line of ours."""
    said = json.dumps(valid_for(step))
    told = text + BIO if whole else f"{said[: len(text)]}{BIO}{said[len(text) :]}"

    read = read_or_fault(step, told)

    assert is_ours(read) if isinstance(read, str) else read.keys() >= valid_for(step).keys()


@given(step=st.sampled_from(list(EVERY_STEP.values())), changes=CHANGES)
@settings(deadline=None)
def test_any_json_is_read_or_refused(step: AskedStep, changes: dict[str, object]) -> None:
    """An answer changed at random either still fits its contract or is refused without being quoted."""
    read = read_or_fault(step, json.dumps(valid_for(step) | changes))

    if isinstance(read, str):
        assert is_ours(read)
        return
    assert set(changes) <= set(valid_for(step))
    if not isinstance(step, JudgeStep):
        assert checked_output(step.step, read) == read


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Fits.\n\n## p0\n- call", "Fits. ## p0 - call"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\x1b[31mred\x1b[0m \u202eesrever\u202c \x00\x07\u2028end", "[31mred [0m esrever end"),
    ],
    ids=["markdown", "markup", "controls"],
)
def test_what_a_model_wrote_comes_out_as_plain_lines(said: str, shown: str) -> None:
    """What a message talked it into is text: one line, nothing that moves a cursor or hides."""
    rationale = read_step(classify_step(), json.dumps(CLASSIFIED | {"rationale": said}))
    name = read_step(extract_step("spam"), json.dumps(CORE | BY_CATEGORY["spam"] | {"customer_name": said}))
    judged = read_step(judge_step(), json.dumps(JUDGED | {"required_followups": [said], "explanation": said}))

    assert [rationale["rationale"], name["customer_name"], judged["explanation"]] == [shown] * 3
    assert judged["required_followups"] == [shown]


def told_in(step: AskedStep, tag: str = "message") -> Any:
    """Return what a question holds inside a tag."""
    found = re.findall(rf"<{tag}>\n(.*)\n</{tag}>", question_about(step).body)
    assert len(found) == 1
    return json.loads(found[0])


@every_step
def test_a_question_tells_of_the_message_once(step: AskedStep) -> None:
    """Sender, channel and text are in the fence, and nowhere in the instructions."""
    question = question_about(step)

    assert told_in(step) == {"name": "Ava Patel", "channel": "email", "text": step.input.message}
    assert (question.body + question.system).count(step.input.message) == 1


def test_a_step_is_told_what_is_known() -> None:
    """An extraction knows its category and the day; a judgement all that was found out, and the rules."""
    assert (
        "sales_existing and was received on Monday 2026-05-04"
        in question_about(extract_step("sales_existing")).body
    )
    step = judge_step("spam")
    assert told_in(step, "facts") == {
        "classification": step.classification.model_dump(mode="json"),
        "extraction": step.extraction.model_dump(mode="json"),
    }
    assert told_in(step, "rules") == step.default.model_dump(mode="json")


def test_a_long_message_is_cut_and_shows_it() -> None:
    """What a request may cost is bounded, and the model sees that something was left out."""
    long = MessageSpec(name="n" * 500, contact_channel="email", message="m" * 20_000)
    told = told_in(classify_step(input=long))

    assert (len(told["name"]), len(told["text"])) == (200, 8_000)
    assert (told["name"][-2:], told["text"][-2:]) == ("n…", "m…")


@every_step
def test_a_repair_says_what_was_wrong_after_all_else(step: AskedStep) -> None:
    """The fault stands outside the data; without one nothing is said of an earlier answer."""
    plain, repair = question_about(step).body, question_about(step, "$message: <b>").body

    assert repair.startswith(plain)
    assert "$message: <b>. Follow the schema." in repair.removeprefix(plain)
    assert "could not be used" not in plain


async def test_the_correction_is_what_comes_last() -> None:
    """What the tests of repairs look at is empty in a first question and the fault in a repair."""
    async with (
        ModelServer(answer=answer_step) as server,
        connected(CASES["anthropic"], server.base_url) as provider,
    ):
        for step in EVERY_STEP.values():
            for fault in ("", "rationale: Field required"):
                await provider.ask(question_about(step, fault))
                correction = correction_in(server.requests[-1])
                assert fault in correction
                assert bool(correction) == bool(fault)
