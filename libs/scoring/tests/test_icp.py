"""Reading whom an offer is for out of its use cases."""

from hypothesis import given, settings
from hypothesis import strategies as st

from leadline_scoring.icp import read_icp, read_role
from leadline_scoring.titles import Seniority
from leadline_testing.tables import every_row

USE_CASES = [
    ("B2B SaaS mid-market", {"software"}),
    ("Series A SaaS startups", {"software"}),
    ("e-commerce brands in DACH", {"e-commerce"}),
    ("Mittelständische Maschinenbauer", {"machinery"}),
    ("MITTELSTAENDISCHE MASCHINENBAUER", {"machinery"}),
    ("healthcare providers, clinics", {"hospitals"}),
    ("marketing automation for clinics", {"hospitals"}),
    ("CRM for e-commerce", {"e-commerce"}),
    ("accounting software for law firms", {"legal"}),
    ("Software für Steuerberater", {"accounting"}),
    ("logiciel pour les hôtels et restaurants", {"hotels", "restaurants"}),
    ("Sales teams at fintech startups", {"fintech"}),
    ("Versicherungsunternehmen", {"insurance"}),
    ("tech startups", {"technology"}),
    ("Industrial manufacturers", {"manufacturing"}),
    ("Manufacturing & logistics companies", {"manufacturing", "logistics"}),
    ("marketing agencies", {"advertising"}),
    ("security companies", {"security"}),
    ("IT service providers", {"it-services"}),
    ("clínicas dentales en España", {"dental"}),
    ("universidades y colegios", {"higher-education", "schools"}),
    ("Empresas de construção civil", {"construction"}),
    ("banks for which speed matters", {"banking"}),
    ("B2B sales teams", set()),
    ("sales teams", set()),
    ("marketing teams", set()),
    ("sales, marketing", set()),
    ("Marketing automation", set()),
    ("marketing automation for small teams", set()),
    ("mid-market", set()),
    ("mid-market teams that need it", set()),
    ("software engineering teams", set()),
    ("finance teams", set()),
    ("HR managers", set()),
    ("security teams", set()),
    ("cloud migration", set()),
    ("lead generation", set()),
    ("AI outreach at scale", set()),
    ("enterprise customers in Europe", set()),
    ("", set()),
]


@every_row(("use_case", "industries"), USE_CASES)
def test_reads_use_case(use_case: str, industries: set[str]) -> None:
    """A use case names the industries it is meant for; functions and sizes of companies name none."""
    assert set(read_icp([use_case]).industries) == industries


def test_explicit_industries_overrule() -> None:
    """What an offer says outright about its ICP wins over what its use cases say."""
    icp = read_icp(["B2B SaaS"], industries=["Dairy", "falconry", "machinery"])
    assert icp.industries == ("dairy", "falconry", "machinery")


def test_named_roles_decide() -> None:
    """A role the offer names makes its holder a decision maker, not the assistant, and unmakes nobody."""
    icp = read_icp([], roles=["Procurement Specialist", "Product Owner"])
    assert read_role(icp, "Senior procurement specialist").seniority is Seniority.DECISION_MAKER
    assert "a role the offer names" in read_role(icp, "Product Owner").evidence
    assert read_role(icp, "Assistant to the Product Owner").seniority is Seniority.OTHER
    assert read_role(icp, "CEO").seniority is Seniority.DECISION_MAKER
    assert read_role(icp, "Accountant").seniority is Seniority.OTHER


@settings(deadline=None)
@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3), st.text())
def test_any_offer_reads(use_cases: list[str], roles: list[str], title: str) -> None:
    """No offer raises, and its ICP can key a cache."""
    icp = read_icp(use_cases, roles=roles)
    hash(icp)
    read_role(icp, title)
