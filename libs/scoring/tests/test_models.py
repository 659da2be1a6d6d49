"""The scoring models' numbers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline_scoring.models import MODEL_NAMES, ScoringModel, load_model
from leadline_testing.tables import every_row


@every_row(
    ("model", "label", "confidence", "points"),
    [
        ("standard", "High", 0.1, 50),
        ("standard", "Medium", 0.9, 30),
        ("standard", "Low", 0.5, 10),
        ("graded", "High", 0.0, 45),
        ("graded", "High", 1.0, 50),
        ("graded", "High", 0.5, 48),
        ("graded", "Medium", 0.0, 15),
        ("graded", "Medium", 0.5, 20),
        ("graded", "Medium", 1.0, 25),
        ("graded", "Low", 0.0, 5),
        ("graded", "Low", 1.0, 5),
        ("graded", "High", 7.0, 50),
        ("graded", "High", -1.0, 45),
        ("graded", "Medium", float("nan"), 15),
    ],
)
def test_ai_points(model: str, label: str, confidence: float, points: int) -> None:
    """A label earns its published points, inside its band by confidence."""
    assert load_model(model).ai_points(label, confidence) == points  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("score", "intent"),
    [(100, "High"), (80, "High"), (79, "Medium"), (50, "Medium"), (49, "Low"), (0, "Low")],
)
def test_graded_intent_goes_by_score(score: int, intent: str) -> None:
    """The graded model's intent comes from the score alone."""
    assert load_model("graded").intent("High", score) == intent
    assert load_model("graded").intent("Low", score) == intent


def test_standard_intent_is_the_label() -> None:
    """The standard model's intent is what the AI said, whatever the score."""
    assert load_model("standard").intent("Low", 100) == "Low"


def test_unknown_model_lists_the_known() -> None:
    """A wrong model name is answered with the right ones."""
    with pytest.raises(ValueError, match="standard, graded"):
        load_model("best")


def test_a_model_whose_rules_miss_fifty_is_refused() -> None:
    """A table edited into a wrong total fails when it is loaded, not in somebody's score."""
    data = load_model("standard").model_dump(by_alias=True)
    data["completeness"]["points"] = 11
    with pytest.raises(ValueError, match="51 points"):
        ScoringModel.model_validate(data)


@settings(deadline=None)
@given(
    st.sampled_from(MODEL_NAMES), st.sampled_from(["High", "Medium", "Low"]), st.floats(0, 1), st.floats(0, 1)
)
def test_more_confidence_never_costs_points(model: str, label: str, one: float, other: float) -> None:
    """Inside a label, points rise with confidence and stay within 0..50."""
    low, high = (load_model(model).ai_points(label, c) for c in sorted((one, other)))  # type: ignore[arg-type]
    assert 0 <= low <= high <= 50
