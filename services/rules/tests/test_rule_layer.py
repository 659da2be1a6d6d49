"""The rule layer's points and the factors behind them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline_contracts.scoring import Lead
from leadline_rules.rule_layer import score_lead
from leadline_scoring.icp import read_icp
from leadline_scoring.models import MODEL_NAMES, load_model
from leadline_testing.tables import every_row

SAAS = read_icp(["B2B SaaS mid-market"])
AVA = {
    "id": "1",
    "name": "Ava Patel",
    "role": "Head of Growth",
    "company": "FlowMetrics",
    "industry": "SaaS",
    "location": "Berlin",
    "linkedin_bio": "Growth at FlowMetrics.",
}


def lead(**changes: str) -> Lead:
    """Ava, with some fields changed."""
    return Lead.model_validate(AVA | changes)


def points(model: str, **changes: str) -> dict[str, int]:
    """The points of each factor of a changed Ava."""
    return {
        factor.factor: factor.points
        for factor in score_lead(load_model(model), SAAS, lead(**changes)).factors
    }


def test_a_perfect_lead_gets_all_fifty_with_evidence() -> None:
    """Each of the three factors says how many of how many points, and why."""
    score = score_lead(load_model("standard"), SAAS, lead())
    assert score.points == 50
    assert [(f.layer, f.factor, f.points, f.max, f.evidence) for f in score.factors] == [
        ("rules", "role", 20, 20, 'Head of Growth: "Head"'),
        ("rules", "industry", 20, 20, "SaaS: software and SaaS, which the offer targets"),
        ("rules", "completeness", 10, 10, "all 6 fields are there"),
    ]


@pytest.mark.parametrize(
    "hidden", ["\u200b", "\u00ad", "\u2060", "\ufeff", "\u200e", "\u200d", "\ufe0f"], ids=ascii
)
def test_what_nobody_sees_changes_no_points(hidden: str) -> None:
    """A hidden character in a role or an industry earns what the plain word earns, alone it is nothing."""
    seen = points("standard", role="CEO", industry="SaaS", location="")
    unseen = {"role": f"C{hidden}EO", "industry": f"Sa{hidden}aS", "location": hidden}
    assert points("standard", **unseen) == seen


def test_no_points_have_a_reason_too() -> None:
    """A lead of nothing scores 0, and each factor says what is missing."""
    nothing = Lead(id="1", role=" ")
    score = score_lead(load_model("standard"), SAAS, nothing)
    assert score.points == 0
    assert [factor.evidence for factor in score.factors] == [
        "no role given",
        "no industry given",
        "0 of 6 fields, missing: name, role, company, industry, location, linkedin_bio",
    ]


@pytest.mark.parametrize(
    ("role", "industry", "expected"),
    [
        ("CEO", "SaaS", (20, 20)),
        ("Product Manager", "IT Services", (10, 10)),
        ("Lead Generation Intern", "Dairy", (0, 0)),
        ("Doctor", "Hospitality", (0, 0)),
        ("Contractor", "", (0, 0)),
        ("President", "Cloud Software", (20, 20)),
    ],
)
def test_standard_points(role: str, industry: str, expected: tuple[int, int]) -> None:
    """The standard model scores seniority and fit."""
    got = points("standard", role=role, industry=industry)
    assert (got["role"], got["industry"]) == expected


@pytest.mark.parametrize("field", ["name", "role", "company", "industry", "location", "linkedin_bio"])
def test_standard_completeness_needs_all_six(field: str) -> None:
    """One blank field costs the standard model's ten points."""
    assert points("standard", **{field: " "})["completeness"] == 0


@every_row(
    ("role", "expected"),
    [
        ("CEO", 20),
        ("Chief Revenue Officer", 20),
        ("Co-Founder", 20),
        ("Head of Growth & Co-Owner", 20),
        ("Vice President of Sales", 15),
        ("VP Sales (ex-CEO)", 15),
        ("VP & Product Owner", 15),
        ("Senior Director", 15),
        ("Senior Engineer", 10),
        ("Solutions Architect", 10),
        ("Product Owner", 10),
        ("Chief of Staff", 10),
        ("Deputy Director", 10),
        ("Lead Generation Manager", 10),
        ("Lead Generation Intern", 0),
        ("Executive Assistant to the CEO", 0),
        ("Former CEO (retired)", 0),
        ("Head Chef", 0),
        ("Doctor", 0),
        ("Director's assistant", 0),
        ("President", 0),
    ],
)
def test_graded_role_points(role: str, expected: int) -> None:
    """The highest tier among the whole words of a title counts, as far as the title means what it says."""
    assert points("graded", role=role)["role"] == expected


@every_row(
    ("industry", "expected"),
    [
        ("SaaS", 20),
        ("Information Technology & Services", 20),
        ("Healthcare Tech", 12),
        ("HealthCare", 5),
        ("Financial Services", 12),
        ("Consulting / Manufacturing", 12),
        ("Higher Education", 5),
        ("Fintechs", 0),
        ("Hospitality", 0),
        ("", 0),
    ],
)
def test_graded_industry_points(industry: str, expected: int) -> None:
    """The longest keyword masks its words: healthcare tech is neither tech nor healthcare."""
    assert points("graded", industry=industry)["industry"] == expected


@pytest.mark.parametrize(
    ("blank", "expected"), [((), 10), (("location",), 10), (("name",), 8), (("name", "role"), 6)]
)
def test_graded_completeness_is_proportional(blank: tuple[str, ...], expected: int) -> None:
    """The graded model counts five fields at two points each; the location is none of them."""
    assert points("graded", **dict.fromkeys(blank, ""))["completeness"] == expected


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_a_role_the_offer_names_earns_all_role_points(model: str) -> None:
    """An offer's own roles count as decision makers in either model."""
    icp = read_icp([], roles=["data steward"])
    factor = score_lead(load_model(model), icp, lead(role="Data Steward")).factors[0]
    assert factor.points == factor.max == 20


@settings(deadline=None)
@given(st.sampled_from(MODEL_NAMES), st.text(), st.text(), st.text())
def test_factors_add_up(model: str, role: str, industry: str, bio: str) -> None:
    """Whatever the text, points are the sum of the factors, and no factor exceeds its maximum."""
    score = score_lead(load_model(model), SAAS, lead(role=role, industry=industry, linkedin_bio=bio))
    assert score.points == sum(factor.points for factor in score.factors)
    assert 0 <= score.points <= 50
    assert all(0 <= factor.points <= factor.max and factor.evidence for factor in score.factors)
    assert sum(factor.max for factor in score.factors) == 50


def test_a_placeholder_is_no_more_than_an_empty_cell() -> None:
    """N/A scores as an empty cell does, and the evidence says what stood there."""
    for name in MODEL_NAMES:
        model = load_model(name)
        written = score_lead(model, SAAS, lead(location="N/A", linkedin_bio="-"))
        assert written.points == score_lead(model, SAAS, lead(location="", linkedin_bio="")).points
        assert 'linkedin_bio ("-")' in written.factors[-1].evidence
        nothing = score_lead(model, SAAS, lead(role="n/a", industry="unknown"))
        assert [factor.evidence for factor in nothing.factors[:2]] == ["no role given", "no industry given"]
