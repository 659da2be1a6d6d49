"""Exports of twelve sales tools go in whole: their public lists of columns, with invented people."""

from pathlib import Path
from typing import NamedTuple

import pytest

from .test_csv_header import read

DATA = Path(__file__).parent / "data" / "exports"


class Export(NamedTuple):
    """Which columns are taken, the first prospect without bio, and how many rows there are of a kind."""

    columns: dict[str, str]
    first: tuple[str, str, str, str, str]
    prospects: int
    blank: int = 0


EXPORTS = {
    "apollo": Export(
        {
            "name": "First Name + Last Name",
            "role": "Title",
            "company": "Company Name",
            "industry": "Industry",
            "location": "City + State + Country",
        },
        (
            "Ines Prado",
            "Head of Sales",
            "Norte Cloud SL",
            "information technology & services",
            "Madrid, Community of Madrid, Spain",
        ),
        1,
    ),
    "hubspot": Export(
        {
            "name": "First Name + Last Name",
            "role": "Job Title",
            "company": "Associated Company",
            "industry": "Industry",
            "location": "City + Country/Region",
        },
        (
            "Jonas Weber",
            "Geschäftsführer",
            "Nordlicht Pflege GmbH",
            "HOSPITAL_HEALTH_CARE",
            "Hamburg, Germany",
        ),
        1,
    ),
    "salesforce": Export(
        {
            "name": "First Name + Last Name",
            "role": "Title",
            "company": "Company / Account",
            "industry": "Industry",
            "location": "State/Province + Country",
        },
        ("Ada Stone", "VP Operations", "Harbor Logistics", "Transportation", "WA, US"),
        2,
        7,
    ),
    "linkedin_connections": Export(
        {
            "name": "First Name + Last Name",
            "role": "Position",
            "company": "Company",
        },
        ("Greta Olsen", "Practice Owner", "Fjord Dental", "", ""),
        1,
    ),
    "sales_navigator_through_evaboot": Export(
        {
            "name": "Full Name",
            "role": "Current Job",
            "company": "Company Name",
            "industry": "Company Industry",
            "location": "Lead Location",
        },
        (
            "Luca Moretti",
            "Direttore Acquisti",
            "Ferro SpA",
            "Industrial Machinery Manufacturing",
            "Milan, Italy",
        ),
        1,
    ),
    "zoominfo": Export(
        {
            "name": "First Name + Last Name",
            "role": "Job Title",
            "company": "Company Name",
            "industry": "Primary Industry",
            "location": "Person City + Person State + Country",
        },
        (
            "Omar Haddad",
            "Chief Information Security Officer",
            "First Range Bank",
            "Finance",
            "Denver, Colorado, United States",
        ),
        1,
    ),
    "lusha": Export(
        {
            "name": "First Name + Last Name",
            "role": "Job Title",
            "company": "Company Name",
            "industry": "Company Industry",
            "location": "Contact Country",
        },
        ("Marta Nowak", "Kierownik Zakupów", "Huta Sp.", "Manufacturing", "Poland"),
        1,
    ),
    "cognism": Export(
        {
            "name": "First Name + Last Name",
            "role": "Job Title",
            "company": "Company",
            "industry": "Account Industry",
            "location": "City + State + Country",
        },
        ("Nils Berg", "Ekonomichef", "Skog AB", "Forestry", "Umeå, Sweden"),
        1,
    ),
    "pipedrive": Export(
        {
            "name": "Person - Name",
            "role": "Person - Job title",
            "company": "Organization - Name",
            "industry": "Organization - Industry",
            "location": "Organization - Address",
        },
        ("Rosa Díaz", "Propietaria", "Finca Verde", "Agriculture", "Calle 3, Lleida"),
        1,
    ),
    "clay": Export(
        {
            "name": "Full Name",
            "role": "Job Title",
            "company": "Company Name",
            "industry": "Industry",
            "location": "Location",
        },
        ("Tom Price", "Plant Manager", "Mill Ltd", "Textiles", "Leeds, England"),
        1,
    ),
    "typeform": Export(
        {
            "name": "First things first: what's your name?",
            "role": "What is your role?",
            "company": "Which company do you work for?",
            "industry": "Which industry is your company in?",
            "location": "Where are you based?",
        },
        ("Yuki Tanaka", "Clinic owner", "Tanaka Dental", "Dentistry", "Osaka"),
        1,
    ),
    "xing": Export(
        {
            "name": "Vorname + Nachname",
            "role": "Position",
            "company": "Unternehmen",
            "industry": "Branche",
            "location": "Ort + Land",
        },
        ("Käthe Groß", "Leiterin Einkauf", "Bäckerei Groß GmbH", "Lebensmittel", "Kiel, Deutschland"),
        1,
    ),
}


@pytest.mark.parametrize("tool", EXPORTS)
def test_an_export_goes_in_whole(tool: str) -> None:
    """Without a mapping every field is taken from its column, and what is no prospect is left out."""
    export = EXPORTS[tool]
    rows, rejected, reader = read((DATA / f"{tool}.csv").read_text(encoding="utf-8"))
    assert reader.rows.columns.taken == export.columns
    assert rows[0][1:6] == export.first
    assert (len(rows), rejected, reader.rows.blank) == (export.prospects, [], export.blank)
    assert reader.rows.count == export.prospects + export.blank
