"""The fields of a message: dates, sums, names, places and numbers, as five languages spell them."""

from datetime import date

from leadline_contracts.inbound import (
    Extraction,
    SalesExistingExtraction,
    SalesNewExtraction,
    SupportExtraction,
)
from leadline_inbound.amounts import find_amounts
from leadline_inbound.extract import extract
from leadline_inbound.mail import read_message
from leadline_testing.tables import every_row

RECEIVED = date(2026, 11, 20)  # a Friday


def new_sale(text: str, name: str | None = None) -> SalesNewExtraction:
    """Extract the fields of a new customer's message."""
    extraction = extract(text, "sales_new", "email", name, RECEIVED)
    assert isinstance(extraction, SalesNewExtraction)
    return extraction


@every_row(
    ("text", "day"),
    [
        ("Could you come on 2026-12-03 please?", "2026-12-03"),
        ("Können Sie am 03.12.2026 kommen?", "2026-12-03"),
        ("Können Sie am 3.12. kommen?", "2026-12-03"),
        ("Wir heiraten am 8.5.27 und suchen einen Fotografen", "2027-05-08"),
        ("¿Pueden venir el 3/12/2026 por la mañana?", "2026-12-03"),
        ("Pouvez-vous venir le 03/12/2026 ?", "2026-12-03"),
        ("Vocês podem vir no dia 3/12/2026?", "2026-12-03"),
        ("Can you come on 3/12/2026?", None),
        ("Can you come on 13/12/2026?", "2026-12-13"),
        ("Can you come on 12/13/2026?", "2026-12-13"),
        ("Can you come on 4/4/2027?", "2027-04-04"),
        ("We need it on December 3rd, 2026", "2026-12-03"),
        ("We need it on the 3rd of December", "2026-12-03"),
        ("We need the hall for 3 March", "2027-03-03"),
        ("Wir brauchen den Saal am 3. Dezember", "2026-12-03"),
        ("Necesito el salón para el 3 de mayo de 2027", "2027-05-03"),
        ("Il me faut la salle le 1er décembre", "2026-12-01"),
        ("Preciso do salão em 15 de janeiro", "2027-01-15"),
        ("Can you do next Tuesday?", "2026-11-24"),
        ("Are you free on Friday?", "2026-11-27"),
        ("Habt ihr nächste Woche Dienstag Zeit?", "2026-11-24"),
        ("Tuesday next week would be good for us", "2026-11-24"),
        ("¿Puede ser el lunes?", "2026-11-23"),
        ("Tem vaga na quinta-feira?", "2026-11-26"),
        ("tienen hueco mañana?", "2026-11-21"),
        ("¿Podrían venir pasado mañana?", "2026-11-22"),
        ("Passt es Ihnen übermorgen?", "2026-11-22"),
        ("geht es auch uebermorgen bei euch?", "2026-11-22"),
        ("Guten Morgen, was kostet ein Haarschnitt?", None),
        ("Me gustaría ir por la mañana", None),
        ("Êtes-vous libres après-demain ?", "2026-11-22"),
        ("Vocês atendem depois de amanhã?", "2026-11-22"),
        ("I am a customer since 3 May 2020", None),
        ("Nobody came last Monday", None),
        ("You are open 24/7, right?", None),
        ("The date 31/02/2027 is no day", None),
        ("It is version 1.2.3 of it", None),
    ],
)
def test_service_date(text: str, day: str | None) -> None:
    """A named day is read in its language's order; what is ambiguous, over or no day at all is none."""
    assert new_sale(text).service_date == day


@every_row(
    ("text", "timeline"),
    [
        ("I need a plumber right now", "now"),
        ("Brauche heute noch einen Schlüsseldienst", "now"),
        ("It should be done this week", "<1w"),
        ("Können Sie in 3 Tagen liefern?", "<1w"),
        ("Would next week work for you?", "1-4w"),
        ("dans 2 semaines ce serait bien", "1-4w"),
        ("Queremos empezar en 2 meses", ">1m"),
        ("Queremos começar em fevereiro", ">1m"),
        ("Wir planen das für nächstes Jahr", ">1m"),
        ("How much is it?", "unknown"),
        ("May I ask what you charge?", "unknown"),
    ],
)
def test_timeline(text: str, timeline: str) -> None:
    """Words, spans and dates give the time until the service is wanted."""
    assert new_sale(text).timeline == timeline


@every_row(
    ("text", "budget"),
    [
        ("my budget is 499", "<500"),
        ("we can spend 500 €", "500-2000"),
        ("we can spend up to 500 €", "<500"),
        ("Budget: 2.000 €", "500-2000"),
        ("Budget über 2.000 €", "2000-10000"),
        ("presupuesto de 1.500,00 euros", "500-2000"),
        ("budget of $1,500.00", "500-2000"),
        ("un budget de 12 000 €", ">10000"),
        ("about 1.5k USD", "500-2000"),
        ("orçamento de 3 mil reais", "2000-10000"),
        ("R$ 15.000,00 no máximo", ">10000"),
        ("between 300 and 400 pounds", "<500"),
        ("entre 5.000 et 9.000 euros", "2000-10000"),
        ("1-2k€ would be fine", "500-2000"),
        ("un devis, budget 800e max", "500-2000"),
        ("The flat has 120 m2 and 1500 books", "unknown"),
        ("my budget for 3 rooms is not fixed", "unknown"),
        ("call me at 0170 1234567", "unknown"),
        ("I was charged 89 €", "unknown"),
        ("I want 20% off", "unknown"),
    ],
)
def test_budget(text: str, budget: str) -> None:
    """Sums in either style of thousands give a class; other numbers, or money that is gone, do not."""
    assert new_sale(text).budget_range == budget


def test_amounts_keep_their_value() -> None:
    """The thousands separator of one country is not the decimal point of another."""
    message = read_message("1.500 € or 1,500 € or 1.50 € or 1.500,50 € or 1,500.50 € or 1 500 €")
    assert [amount.value for amount in find_amounts(message)] == [1500, 1500, 1.5, 1500.5, 1500.5, 1500]


@every_row(
    ("text", "name"),
    [
        ("Hi, my name is anna and I need help", "anna"),
        ("Hello, I'm Tom Reed. How much is a lesson?", "Tom Reed"),
        ("Hello, I'm interested in lessons", None),
        ("I'm Very Interested", None),
        ("Hola, soy Marta Gil y busco clases", "Marta Gil"),
        ("Me llamo José", "José"),
        ("Ich heiße Jürgen Groß und suche eine Wohnung", "Jürgen Groß"),
        ("Ich bin Kunde bei Ihnen", None),
        ("Je m'appelle Zoé, combien ça coûte ?", "Zoé"),
        ("Meu nome é João da Silva", "João"),
        ("What is the price?\n\nBest regards,\nMary-Ann Lee\nHead of Facilities", "Mary-Ann Lee"),
        ("Was kostet das?\nMit freundlichen Grüßen\nKlaus", "Klaus"),
        ("The weather is in May", None),
    ],
)
def test_customer_name(text: str, name: str | None) -> None:
    """Names come from introductions and signatures, never from words that merely follow "I am"."""
    assert new_sale(text).customer_name == name


def test_the_given_name_comes_first() -> None:
    """The name a channel gives is better than one in the text, unless it is a number or an address."""
    assert new_sale("My name is Anna", "Bob Stone").customer_name == "Bob Stone"
    assert new_sale("My name is Anna", "+49 170 1234567").customer_name == "Anna"
    assert new_sale("My name is Anna", "a@b.example").customer_name == "Anna"


@every_row(
    ("text", "place"),
    [
        ("I need a cleaner in Berlin", "Berlin"),
        ("what does it cost in berlin?", "berlin"),
        ("We are based in New York", "New York"),
        ("a house near San Lorenzo de El Escorial", "San Lorenzo"),
        ("Ich suche eine Wohnung in 80331 München", "München"),
        ("Ich suche in Ordnung gehaltene Räume im Büro", None),
        ("J'habite à Annecy", "Annecy"),
        ("moro em porto alegre", "porto alegre"),
        ("I have a BMW and write in English in March", None),
    ],
)
def test_location(text: str, place: str | None) -> None:
    """Places are capitalised words after "in" and the like, or known cities in any case."""
    assert new_sale(text).location == place


@every_row(
    ("text", "service"),
    [
        ("I'm interested in your garden design service.", "garden design service"),
        ("Could I get a quote for window cleaning next week?", "window cleaning"),
        ("I need a plumber in Leeds", "plumber"),
        ("quiero un presupuesto para la reforma de un baño en Madrid", "reforma de un baño"),
        ("Ich brauche einen Elektriker für morgen", "Elektriker"),
        ("Je cherche un jardinier à Lyon", "jardinier"),
        ("Preciso de um pintor urgente", "pintor urgente"),
        ("I need a quote", None),
        ("I want to know the price", None),
    ],
)
def test_service_interest(text: str, service: str | None) -> None:
    """The noun phrase after a wish is the service; "a quote" or "a price" is not."""
    assert new_sale(text).service_interest == service


@every_row(
    ("text", "hint"),
    [
        ("account number 4711", "4711"),
        ("my order #A-99812 please", "A-99812"),
        ("Kundennummer: K-20417.", "K-20417"),
        ("mein Vertrag lautet 4471-88", "4471-88"),
        ("número de cliente es 77102", "77102"),
        ("commande n° 66120", "66120"),
        ("contrato 90-8812", "90-8812"),
        ("order it for 12 people", None),
        ("customer number " + "9" * 200, None),
    ],
)
def test_account_hint(text: str, hint: str | None) -> None:
    """A customer's or an order's number is kept as written; a quantity, or what is too long, is none."""
    extraction = extract(text, "sales_existing", "email", None, RECEIVED)
    assert isinstance(extraction, SalesExistingExtraction)
    assert extraction.account_hint == hint


def language(text: str) -> str | None:
    """Return the language that is detected in a message."""
    return extract(text, "unknown", "other", None, RECEIVED).language


@every_row(
    ("text", "expected"),
    [
        ("how much?", "en"),
        ("cuánto cuesta?", "es"),
        ("was kostet das", "de"),
        ("c'est combien ?", "fr"),
        ("quanto custa?", "pt"),
        ("no funciona", "es"),
        ("não funciona", "pt"),
        ("Dzień dobry, ile to kosztuje?", None),
        ("Ik wil graag een afspraak maken voor volgende week", None),
        ("Vorrei un preventivo per la mia casa, grazie", None),
        ("Здравствуйте", None),
        ("12345", None),
        ("", None),
    ],
)
def test_language(text: str, expected: str | None) -> None:
    """The language of short texts is detected, and one that is none of the five is None."""
    assert language(text) == expected


def test_quoted_mail_and_signature_say_nothing() -> None:
    """What somebody else wrote, and a signature's link, are no part of the message."""
    text = """How much is a lesson?

Kind regards,
Ann Lee
www.annlee.example.com

On Monday Bob wrote:
> I want to cancel, this is urgent, my lawyer will call you
"""
    extraction = new_sale(text)
    assert (extraction.customer_name, extraction.urgency, extraction.timeline) == (
        "Ann Lee",
        "low",
        "unknown",
    )
    message = read_message(text)
    assert "lawyer" not in message.words
    assert not message.links
    assert "lawyer" in read_message("> my lawyer will call you").words


def severity(text: str) -> str:
    """Return how severe a case is."""
    extraction: Extraction = extract(text, "support", "email", None, RECEIVED)
    assert isinstance(extraction, SupportExtraction)
    return extraction.severity


def test_severity_grows_with_what_is_said() -> None:
    """A question is no emergency, and one hard word alone is not one either."""
    assert severity("How do I change the colour of the logo?") == "low"
    assert severity("The handle is broken and I am not happy") == "medium"
    assert (
        severity("Third time nobody came, this is unacceptable, the flat is flooded, I call my lawyer")
        == "high"
    )
