"""Prospects to score: as many as asked for, always the same, with 10,000 and more distinct titles."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

from leadline_contracts.scoring import LEAD_FIELDS

OFFER = {
    "name": "AI Outreach Automation",
    "value_props": ["24/7 outreach", "6x more meetings"],
    "ideal_use_cases": ["B2B SaaS mid-market"],
}
_LEVELS = (
    "Head of",
    "VP",
    "Director,",
    "Manager",
    "Senior",
    "Junior",
    "Team Lead",
    "Chief",
    "Assistant",
    "Founder,",
)
_FIELDS = (
    "Sales",
    "Growth",
    "Marketing",
    "Product",
    "Engineering",
    "Finance",
    "Support",
    "Data",
    "People",
    "Legal",
)
_INDUSTRIES = ("SaaS", "IT Services", "Dairy", "Fintech", "Hospitality", "Retail", "Consulting", "Insurance")
_CITIES = ("Berlin, DE", "Austin, US", "Lyon, FR", "Porto, PT", "Toronto, CA")


def prospects(count: int) -> Iterator[list[str]]:
    """Yield that many rows in the order of LEAD_FIELDS."""
    draw = random.Random(7)
    for number in range(count):
        role = f"{draw.choice(_LEVELS)} {draw.choice(_FIELDS)} {number % 101}"
        bio = "Builds teams that open new markets, and keeps what they win."
        company = f"Company {number % 5000}"
        industry, city = draw.choice(_INDUSTRIES), draw.choice(_CITIES)
        yield [f"Person {number}", role, company, industry, city, bio]


def write_prospects(path: Path, count: int) -> None:
    """Write a CSV of that many prospects."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(LEAD_FIELDS)
        writer.writerows(prospects(count))
