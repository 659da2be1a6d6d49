"""Job titles as people write them, and what each makes of a lead."""

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline_scoring.titles import Seniority, read_title, title_words
from leadline_testing.tables import every_row

DECIDES = """
CEO
ceo
C.E.O.
C.E.O
CEO & Founder
CEO/CTO
Co-Founder & CTO
Cofounder
Founder
Founder / Investor
Founder, Acme Inc.
Solo founder | ex-Google
Founding Partner
Chief Executive Officer
Chief Revenue Officer
Chief Data & Analytics Officer
Chief Information Security Officer (CISO)
CFO
CRO
CISO
CMO
CHRO
COO, EMEA
Interim CFO
Group CTO
Fractional CMO
Owner
Owner/Operator
Co-owner
Business Owner
Proprietor
President
President & CEO
Vice President
Vice-President, Sales
Senior Vice President of Engineering
SVP Marketing
EVP
VP
V.P. of Sales
VP - Sales
VP of Sales
VP Sales (ex-CEO)
VP, Office of the CEO
RVP Sales
Managing Director
Managing Director, DACH
Executive Director
General Manager
Country Manager Spain
Managing Partner
Partner
Partner, Deloitte
Partner at Sequoia
Tax Partner
Senior Partner
Director
Director of Engineering
Director, Product Management
Sales Director
Director of Student Affairs
Director of Partner Marketing
Head
Head of Sales
Head, Procurement
Head of Product & Design
Head of E-Commerce
Head of Internal Audit
Marketing Head
Chairman
Chairwoman of the Board
Entrepreneur
Secretary General
Go-to-Market Director
Director of Intern Programs
CEO at Student Loans Co.
Student & Founder
R&D Director
IR Director
Director at EA
Ad Director
Directrice d'agence
Geschäftsführer
Geschäftsführerin
Geschaeftsfuehrer
GESCHÄFTSFÜHRER
Geschäftsführer:in
Geschäftsführer (m/w/d)
Geschäftsführender Gesellschafter
Hauptgeschäftsführer
Stellvertretender Geschäftsführer
Mitglied der Geschäftsleitung
Vorsitzende der Geschäftsführung
Vertriebsleiter
Vertriebsleiter/in
Vertriebsleitung
Bereichsleiterin
Abteilungsleiter Einkauf
Leiter IT
Leiterin Marketing
Leitung Personal
IT-Leiter
Werkleiter
Prokurist
Inhaberin
Mitinhaber
Gründer & Geschäftsführer
Vorstand
Finanzvorstand
Vorstandsvorsitzender
Vertriebsdirektorin
Personalchefin
Vizepräsident
PDG
P.-D.G.
P.D.G.
Président-directeur général
Présidente
Directeur général
Directrice générale adjointe
Directrice commerciale
Directeur des ventes
Directeur·rice marketing
Gérant.e
Gérant
Gérante associée
Fondatrice
Co-fondateur
Dirigeante
Chef d'entreprise
DSI
DRH
Avocat associé
Administrateur délégué
Director general
Directora de Marketing
Director(a) Comercial
Gerente general
Consejero Delegado
Dueño
Dueña
Propietaria
Socio
Socia fundadora
Presidenta
Vicepresidente de Ventas
Diretor
Diretora Comercial
Diretor Geral
Sócio-gerente
Sócio e diretor
Fundadora
Dono
Proprietário
"""

SHAPES = """
Manager
Sales Manager
Account Manager
Community Manager
Product Manager
Product Owner
Senior Product Owner
Technical Product Owner
Process Owner
Chief of Staff
Chief of Staff to the CEO
CEO's Chief of Staff
Chief Architect
Team Lead
Team Leader
Lead Developer
Tech Lead
Senior Software Engineer
Sr. Analyst
Senior HR Business Partner
Staff Engineer
Staff Software Engineer
Principal Engineer
Principal Scientist
Solutions Architect
Consultant
Management Consultant
Advisor to the CEO
Assistant Director
Associate Director
Associate Creative Director
Deputy Director
Deputy Head of Sales
Assistant Vice President
Director's Office Manager
Partner Manager
Partner Marketing Manager
Board member
Member of the Board
Non-Executive Director
Art Director
Supervisor
Manager, Office of the CEO
L&D Manager
Stage Manager
Intern Program Manager
Chair of the Supervisory Board
ex-CTO, Senior Engineer
Teamleiter
Teamleiterin Vertrieb
Projektleiter
Projektmanagerin
Produktmanager
Filialleiter
Stellvertretende Abteilungsleiterin
Unternehmensberaterin
Softwarearchitekt
Aufsichtsratsvorsitzender
Responsable marketing
Responsable des achats
Chef de projet
Cheffe de produit
Chef d'équipe
Directeur adjoint
Directrice marketing adjointe
Directeur de cabinet
Consultante
Jefe de proyecto
Jefa de ventas
Gerente de ventas
Subdirector
Director comercial adjunto
Encargada de compras
Consultora
Gerente de vendas
Coordenadora de TI
Diretor adjunto
Líder técnico
"""

NEITHER = """
Executive Assistant to the CEO
Executive Assistant to CEO & Founder
Executive Assistant - CEO
Assistant to the Managing Director
Assistant to the CEO, CFO and COO
EA to the President
PA to Managing Director
CEO Assistant
CEO's Assistant
Director's assistant
VP's EA
CEO (Assistant)
Founder's Associate
Founders Associate
Secretary to the Director
Receptionist
Lead Generation Intern
Lead Generation Specialist
Office of the CTO - Intern
Intern, Office of the CEO
CTO - Intern
Director, Intern
Marketing Intern
Founder's Office Intern
CEO Office
Former CEO (retired)
Former CEO
Formerly VP of Sales at Acme
ex-CTO
Ex CEO
Retired CEO
CEO, retired
Past President
Aspiring founder
Future CEO
Seeking Director role
Student
Student of management
Direktor a.D.
PhD Student
MBA Student, aspiring CTO
Trainee
Management Trainee
Volunteer
Account Executive
Sales Executive
Doctor
Contractor
Business Partner
HR Business Partner
People Partner
Channel Partner
Partnerships Associate
Partner Success Associate
Head Chef
Head Coach
Headhunter
Chef
Sous Chef
Software Engineer
Developer
Accountant
Analyst
Nurse
Sales Representative
Directory Editor
Leadership coach
Mentor for founders and CEOs
Junior Manager
Head Start Teacher
Senior Vice President's Assistant
Assistant Manager
Son of the owner
Home owner
Director of Photography
Assistenz der Geschäftsführung
Assistentin der Geschäftsleitung
Vorstandsassistentin
Vorstandsreferent
Referent des Vorstands
Ehemaliger Geschäftsführer
Geschäftsführer i.R.
Werkstudent
Werkstudentin Marketing
Praktikant
Praktikantin im Büro des CEO
Auszubildender
Sachbearbeiter
Mitarbeiterin Vertrieb
Flugbegleiterin
Ingenieur Halbleiter
Reiseleiter
Küchenchef
Kundenberaterin
Stagiaire
Stagiaire en direction générale
Assistante de direction
Assistant du PDG
Ancien directeur
Alternante marketing
Chef de cuisine
Bureau du PDG
Becario
Becaria de marketing
Asistente del Director General
Secretaria de dirección
Antiguo director
Estudiante
Estagiário
Estagiária de vendas
Assistente da diretoria
Auxiliar administrativo
Ex-diretor
"""

TABLE = [
    (title, seniority)
    for seniority, titles in (
        (Seniority.DECISION_MAKER, DECIDES),
        (Seniority.INFLUENCER, SHAPES),
        (Seniority.OTHER, NEITHER),
    )
    for title in titles.strip().splitlines()
]


def without_accents(text: str) -> str:
    """`text` in plain letters, as many exports have it."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


@every_row(("title", "seniority"), TABLE)
def test_reads_title(title: str, seniority: Seniority) -> None:
    """Every title of the table is read as a sales person would read it, and the evidence quotes the title."""
    reading = read_title(title)
    assert reading.seniority is seniority, reading.evidence
    assert title in reading.evidence


@every_row("title", [title for title, _ in TABLE])
def test_spelling_does_not_matter(title: str) -> None:
    """Case, missing accents and decomposed accents change no reading."""
    seniority = read_title(title).seniority
    for spelling in (
        title.upper(),
        title.lower(),
        without_accents(title),
        unicodedata.normalize("NFD", title),
    ):
        assert read_title(spelling).seniority is seniority, spelling


@pytest.mark.parametrize(
    ("title", "evidence"),
    [
        ("VP of Sales", 'VP of Sales: "VP"'),
        (
            "Assistant to the CEO",
            'Assistant to the CEO: "Assistant" supports somebody else, so "CEO" does not count',
        ),
        ("Marketing Intern", 'Marketing Intern: "Intern" is still learning'),
        ("Account Executive", 'Account Executive: "Account Executive" neither decides nor shapes a purchase'),
        ("Nurse", "Nurse: no word for one who decides or shapes a purchase"),
        ("  ", "no role given"),
    ],
)
def test_evidence_says_why(title: str, evidence: str) -> None:
    """The evidence names the deciding words, or why there are none."""
    assert read_title(title).evidence == evidence


@settings(deadline=None)
@given(st.text())
def test_any_text_reads(title: str) -> None:
    """No text, however odd, raises or makes evidence too long for a line."""
    reading = read_title(title)
    assert len(reading.evidence.splitlines()) == 1
    assert len(reading.evidence) < 800


@settings(deadline=None)
@given(st.lists(st.sampled_from([title for title, _ in TABLE]), min_size=1, max_size=3))
def test_separate_statements_do_not_disturb_each_other(titles: list[str]) -> None:
    """Statements divided by a bar read as the highest of them does."""
    rank = list(Seniority).index
    highest = min((read_title(title).seniority for title in titles), key=rank)
    assert read_title(" | ".join(titles)).seniority is highest


def test_huge_titles_are_cut() -> None:
    """A title of a megabyte is read in the time of a short one, by its beginning."""
    for filler in ("a.", "CEO & ", "Assistant to the ", "\u0301", "x "):
        title = "Owner " + filler * (1_000_000 // len(filler))
        assert any(spent(title) < 4 * spent(title[:20_000]) + 0.05 for _ in range(3)), filler
    assert read_title("Owner " + "x " * 500_000).seniority is Seniority.DECISION_MAKER


def spent(title: str) -> float:
    """Return the processor time, in seconds, in which a title is read."""
    started = time.process_time()
    read_title(title)
    return time.process_time() - started


def test_words_carry_what_they_may_argue_for() -> None:
    """A model with keywords of its own learns which words of a title are somebody else's."""
    words = {word.word: word.ceiling for word in title_words("VP & Product Owner, ex-CEO")}
    assert words["vp"] is Seniority.DECISION_MAKER
    assert words["owner"] is Seniority.INFLUENCER
    assert words["ceo"] is None
