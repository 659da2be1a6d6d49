"""The validation that both entrypoints share."""

from leadline_contracts.errors import FieldError
from leadline_contracts.scoring import LEAD_BYTES, LEAD_FIELDS, LeadSpec
from leadline_ingest.prospects.validation import check_lead, read_lead
from leadline_testing.tables import every_row


def test_surrounding_white_space_goes_and_all_other_text_stays() -> None:
    """What a cell says is what is scored, `NA` and `null` included."""
    assert read_lead({"name": " Ada\n", "role": "NA", "company": "null", "x": 1}) == LeadSpec(
        name="Ada", role="NA", company="null"
    )


def test_a_null_field_is_a_missing_one() -> None:
    """Systems that write null for what they do not know lose no lead by it."""
    assert read_lead({"name": "Ada", "role": None}) == LeadSpec(name="Ada")


@every_row(
    ("value", "field"),
    [
        ({"name": 7}, "name"),
        ({"name": "Ada", "role": ["CTO"]}, "role"),
        ({"name": "Ada", "company": "A\x00B"}, "company"),
        ({"name": "x" * 1_000_001}, "name"),
        ({}, "lead"),
        ({"name": " ", "role": "\t"}, "lead"),
        ("Ada", "lead"),
        (None, "lead"),
        ([["name", "Ada"]], "lead"),
        (dict.fromkeys(LEAD_FIELDS, "x" * 400_000), "lead"),
    ],
)
def test_an_unfit_lead_is_refused_by_field(value: object, field: str) -> None:
    """The sender learns which field is at fault, and the reason never quotes what was sent."""
    refused = read_lead(value)
    assert isinstance(refused, FieldError)
    assert refused.field == field
    assert refused.message
    assert "Ada" not in refused.message


def test_a_lead_may_hold_so_many_bytes_of_text() -> None:
    """The limit counts bytes in UTF-8 over all fields, lies just where it says, and names what to shorten."""
    half = "é" * (LEAD_BYTES // 4)
    assert check_lead(LeadSpec(name=half, role=half)) is None
    refused = check_lead(LeadSpec(name=half, role=half, company="x"))
    assert refused is not None
    assert refused.field == "lead"
    assert "65,537" in refused.message
    assert "65,536" in refused.message
    assert "shorten name" in refused.message


def test_a_lead_that_nobody_sees_is_empty() -> None:
    """A zero-width space is no lead, as a blank is none."""
    refused = check_lead(LeadSpec(name="\u200b", role=" "))
    assert refused is not None
    assert "is empty" in refused.message
