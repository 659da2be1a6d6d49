"""Industry fields as people fill them in, against the industries an offer is for."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline_scoring.icp import Icp, read_icp
from leadline_scoring.industries import IndustryFit, match_industry
from leadline_scoring.taxonomy import taxonomy
from leadline_testing.tables import every_row

SAAS = read_icp(["B2B SaaS mid-market"])

FITS = [
    # offer's industries, lead's industry, fit
    ("saas", "SaaS", IndustryFit.EXACT),
    ("saas", "Software as a Service", IndustryFit.EXACT),
    ("saas", "Software-as-a-Service (SaaS)", IndustryFit.EXACT),
    ("saas", "Cloud Software", IndustryFit.EXACT),
    ("saas", "Computer Software", IndustryFit.EXACT),
    ("saas", "Software Development", IndustryFit.EXACT),
    ("saas", "B2B SaaS / FinTech", IndustryFit.EXACT),
    ("saas", "Softwareunternehmen", IndustryFit.EXACT),
    ("saas", "Software for dairy farms", IndustryFit.EXACT),
    ("saas", "Éditeur de logiciels", IndustryFit.EXACT),
    ("saas", "IT Services", IndustryFit.ADJACENT),
    ("saas", "IT", IndustryFit.ADJACENT),
    ("saas", "Information Technology & Services", IndustryFit.ADJACENT),
    ("saas", "Information Technology and Services", IndustryFit.ADJACENT),
    ("saas", "IT-Dienstleister", IndustryFit.ADJACENT),
    ("saas", "Technology", IndustryFit.ADJACENT),
    ("saas", "Tech", IndustryFit.ADJACENT),
    ("saas", "Internet", IndustryFit.ADJACENT),
    ("saas", "FinTech", IndustryFit.ADJACENT),
    ("saas", "Healthcare Tech", IndustryFit.ADJACENT),
    ("saas", "Cybersecurity", IndustryFit.ADJACENT),
    ("saas", "Artificial Intelligence", IndustryFit.ADJACENT),
    ("saas", "Dairy", IndustryFit.NONE),
    ("saas", "Dairy farms", IndustryFit.NONE),
    ("saas", "Hospitality", IndustryFit.NONE),
    ("saas", "Fitness", IndustryFit.NONE),
    ("saas", "Recruiting", IndustryFit.NONE),
    ("saas", "Hospital & Health Care", IndustryFit.NONE),
    ("saas", "Construction", IndustryFit.NONE),
    ("saas", "Marketing Services", IndustryFit.NONE),
    ("saas", "Softwood lumber", IndustryFit.NONE),
    ("hospitality", "IT", IndustryFit.NONE),
    ("hospitality", "Hotels & Resorts", IndustryFit.EXACT),
    ("hospitality", "Hôtellerie", IndustryFit.EXACT),
    ("hospitality", "Restaurants", IndustryFit.ADJACENT),
    ("hospitality", "Leisure, Travel & Tourism", IndustryFit.ADJACENT),
    ("healthcare", "Hospital & Health Care", IndustryFit.EXACT),
    ("healthcare", "Clinics", IndustryFit.EXACT),
    ("healthcare", "Krankenhäuser", IndustryFit.EXACT),
    ("healthcare", "Krankenhaeuser", IndustryFit.EXACT),
    ("healthcare", "Santé", IndustryFit.EXACT),
    ("healthcare", "Medical Practice", IndustryFit.ADJACENT),
    ("healthcare", "Pharmaceuticals", IndustryFit.ADJACENT),
    ("healthcare", "Medizintechnik", IndustryFit.ADJACENT),
    ("healthcare", "HealthTech", IndustryFit.ADJACENT),
    ("healthcare", "Automotive", IndustryFit.NONE),
    ("machinery", "Maschinenbau", IndustryFit.EXACT),
    ("machinery", "MASCHINEN- UND ANLAGENBAU", IndustryFit.EXACT),
    ("machinery", "Industrial Automation", IndustryFit.ADJACENT),
    ("machinery", "Manufacturing", IndustryFit.ADJACENT),
    ("machinery", "Banking", IndustryFit.NONE),
    ("manufacturing", "Machinery", IndustryFit.EXACT),
    ("manufacturing", "Automobilhersteller", IndustryFit.EXACT),
    ("manufacturing", "Manufacturing", IndustryFit.EXACT),
    ("manufacturing", "Insurance", IndustryFit.NONE),
    ("financial services", "Banking", IndustryFit.EXACT),
    ("financial services", "Versicherungsunternehmen", IndustryFit.EXACT),
    ("banking", "Financial Services", IndustryFit.ADJACENT),
    ("banking", "Insurance", IndustryFit.ADJACENT),
    ("banking", "Seguros", IndustryFit.ADJACENT),
    ("e-commerce", "Onlinehandel", IndustryFit.EXACT),
    ("e-commerce", "Comercio electrónico", IndustryFit.EXACT),
    ("e-commerce", "Retail", IndustryFit.ADJACENT),
    ("e-commerce", "Varejo", IndustryFit.ADJACENT),
    ("retail", "Einzelhandel", IndustryFit.EXACT),
    ("real estate", "Immobilien", IndustryFit.EXACT),
    ("real estate", "Commercial Real Estate", IndustryFit.ADJACENT),
    ("law firms", "Legal", IndustryFit.EXACT),
    ("law firms", "Rechtsanwaltskanzlei", IndustryFit.EXACT),
    ("law firms", "Accounting", IndustryFit.ADJACENT),
    ("logistics", "Spedition", IndustryFit.EXACT),
    ("logistics", "Logística", IndustryFit.EXACT),
    ("logistics", "Airlines/Aviation", IndustryFit.ADJACENT),
    ("marketing", "Marketing & Advertising", IndustryFit.EXACT),
    ("marketing", "Public Relations and Communications", IndustryFit.ADJACENT),
    ("education", "E-Learning", IndustryFit.ADJACENT),
    ("education", "Higher Education", IndustryFit.ADJACENT),
    ("dairy", "Molkerei", IndustryFit.EXACT),
    ("dairy", "Food Production", IndustryFit.ADJACENT),
    ("dairy", "SaaS", IndustryFit.NONE),
    ("falconry", "Falconry supplies", IndustryFit.EXACT),
    ("falconry", "Dairy", IndustryFit.NONE),
]

NETWORK_NAMES = """
Accounting; Airlines/Aviation; Alternative Dispute Resolution; Alternative Medicine; Animation; Apparel &
Fashion; Architecture & Planning; Arts and Crafts; Automotive; Aviation & Aerospace; Banking; Biotechnology;
Broadcast Media; Building Materials; Business Supplies and Equipment; Capital Markets; Chemicals; Civic &
Social Organization; Civil Engineering; Commercial Real Estate; Computer & Network Security; Computer Games;
Computer Hardware; Computer Networking; Computer Software; Construction; Consumer Electronics; Consumer
Goods; Consumer Services; Cosmetics; Dairy; Defense & Space; Design; Education Management; E-Learning;
Electrical/Electronic Manufacturing; Entertainment; Environmental Services; Events Services; Executive
Office; Facilities Services; Farming; Financial Services; Fine Art; Fishery; Food & Beverages; Food
Production; Fund-Raising; Furniture; Gambling & Casinos; Glass, Ceramics & Concrete; Government
Administration; Government Relations; Graphic Design; Health, Wellness and Fitness; Higher Education;
Hospital & Health Care; Hospitality; Human Resources; Import and Export; Individual & Family Services;
Industrial Automation; Information Services; Information Technology and Services; Insurance; International
Affairs; International Trade and Development; Internet; Investment Banking; Investment Management;
Judiciary; Law Enforcement; Law Practice; Legal Services; Legislative Office; Leisure, Travel & Tourism;
Libraries; Logistics and Supply Chain; Luxury Goods & Jewelry; Machinery; Management Consulting; Maritime;
Market Research; Marketing and Advertising; Mechanical or Industrial Engineering; Media Production; Medical
Devices; Medical Practice; Mental Health Care; Military; Mining & Metals; Motion Pictures and Film; Museums
and Institutions; Music; Nanotechnology; Newspapers; Non-Profit Organization Management; Oil & Energy;
Online Media; Outsourcing/Offshoring; Package/Freight Delivery; Packaging and Containers; Paper & Forest
Products; Performing Arts; Pharmaceuticals; Philanthropy; Photography; Plastics; Political Organization;
Primary/Secondary Education; Printing; Professional Training & Coaching; Program Development; Public Policy;
Public Relations and Communications; Public Safety; Publishing; Railroad Manufacture; Ranching; Real Estate;
Recreational Facilities and Services; Religious Institutions; Renewables & Environment; Research;
Restaurants; Retail; Security and Investigations; Semiconductors; Shipbuilding; Sporting Goods; Sports;
Staffing and Recruiting; Supermarkets; Telecommunications; Textiles; Think Tanks; Tobacco; Translation and
Localization; Transportation/Trucking/Railroad; Utilities; Venture Capital & Private Equity; Veterinary;
Warehousing; Wholesale; Wine and Spirits; Wireless; Writing and Editing
"""


@every_row(("target", "industry", "fit"), FITS)
def test_matches_industry(target: str, industry: str, fit: IndustryFit) -> None:
    """Same branch is exact, a neighbour in the sector or a wider word adjacent, all else none."""
    match = match_industry(read_icp([], industries=[target]), industry)
    assert match.fit is fit, match.evidence
    assert match.evidence.startswith(industry)


@every_row("name", [name.strip() for name in NETWORK_NAMES.replace("\n", " ").split(";")])
def test_network_names_mean_one_industry(name: str) -> None:
    """Each industry name that professional networks offer means exactly one branch or umbrella."""
    assert len(taxonomy().named_in_field(name)) == 1


def test_taxonomy_is_broad() -> None:
    """The taxonomy tells at least 120 branches apart."""
    branches = [industry for industry in taxonomy().industries.values() if industry.branches == {industry.id}]
    assert len(branches) >= 120


def test_neighbourhood_is_mutual() -> None:
    """Neighbourhood is mutual, so it does not matter which of the two branches the offer names."""
    industries = taxonomy().industries
    for industry in industries.values():
        assert all(industry.id in industries[other].nearby for other in industry.nearby)


@pytest.mark.parametrize(
    ("icp", "industry", "evidence"),
    [
        (SAAS, "Cloud Software", "Cloud Software: software and SaaS, which the offer targets"),
        (
            SAAS,
            "IT Services",
            "IT Services: IT services is next to software and SaaS, which the offer targets",
        ),
        (SAAS, "Dairy", "Dairy: dairy is not near software and SaaS"),
        (SAAS, "Qwertz", "Qwertz: not an industry the taxonomy knows; the offer targets software and SaaS"),
        (SAAS, "", "no industry given"),
        (Icp(), "SaaS", "the offer names no industry"),
    ],
)
def test_evidence_says_why(icp: Icp, industry: str, evidence: str) -> None:
    """The evidence names both sides of a fit, or what is missing."""
    assert match_industry(icp, industry).evidence == evidence


@settings(deadline=None)
@given(st.text(), st.lists(st.text(), max_size=4))
def test_any_text_matches(industry: str, targets: list[str]) -> None:
    """No text in a lead or an offer raises, and the evidence stays one line."""
    match = match_industry(read_icp([], industries=targets), industry)
    assert len(match.evidence.splitlines()) == 1


@settings(deadline=None)
@given(st.sampled_from([industry for _, industry, _ in FITS]))
def test_case_does_not_matter(industry: str) -> None:
    """An industry in capitals or small letters fits as well."""
    assert match_industry(SAAS, industry.upper()).fit is match_industry(SAAS, industry.lower()).fit


def test_huge_industries_are_cut() -> None:
    """An industry of a megabyte is read in the time of a short one."""

    def spent(industry: str) -> float:
        started = time.process_time()
        match_industry(SAAS, industry)
        return time.process_time() - started

    huge = "SaaS " + "software as a " * 70_000
    assert any(spent(huge) < 4 * spent(huge[:20_000]) + 0.05 for _ in range(3))
