"""The offline answer."""

from leadline_scoring.icp import read_icp
from leadline_scoring.judge import judge
from leadline_scoring.models import load_model
from leadline_testing.tables import every_row

SAAS = read_icp(["B2B SaaS mid-market"])


@every_row(
    ("model", "role", "industry", "label", "points"),
    [
        ("graded", "CEO", "SaaS", "High", 45),
        ("graded", "CEO", "IT Services", "Medium", 25),
        ("graded", "CEO", "Dairy", "Medium", 25),
        ("graded", "Geschäftsführerin", "SaaS", "High", 45),
        ("graded", "Senior Engineer", "SaaS", "Medium", 25),
        ("graded", "Senior Engineer", "Dairy", "Medium", 15),
        ("graded", "Product Manager", "SaaS", "Medium", 15),
        ("graded", "Accountant", "IT Services", "Medium", 15),
        ("graded", "Lead Generation Intern", "SaaS", "Low", 5),
        ("graded", "Executive Assistant to the CEO", "SaaS", "Low", 5),
        ("graded", "Accountant", "Dairy", "Low", 5),
        ("graded", "", "", "Low", 5),
        ("standard", "CEO", "SaaS", "High", 50),
        ("standard", "VP Sales", "IT Services", "High", 50),
        ("standard", "Owner", "Dairy", "Medium", 30),
        ("standard", "Product Manager", "SaaS", "Medium", 30),
        ("standard", "Product Manager", "IT Services", "Medium", 30),
        ("standard", "Product Manager", "Dairy", "Low", 10),
        ("standard", "Intern", "SaaS", "Low", 10),
    ],
)
def test_judges(model: str, role: str, industry: str, label: str, points: int) -> None:
    """The label and its points follow the model's offline table."""
    scoring = load_model(model)
    judgement = judge(scoring, SAAS, role, industry)
    assert judgement.label == label
    assert scoring.ai_points(judgement.label, judgement.confidence) == points
