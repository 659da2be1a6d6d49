"""Which encoding a file is taken to be in: named, marked, or told by its letters."""

import codecs
from collections import Counter
from contextlib import closing

import pytest

from leadline_ingest.prospects.files.encodings import find_encoding, shown_name
from leadline_ingest.prospects.files.guess import guess_encoding
from leadline_ingest.prospects.table import CsvReader, CsvRefused, ProspectRow

from .encoded_files import EncodedFile, encoded_files

GERMAN = "name;role;company\nJürgen Schäfer;Geschäftsführer;Müller & Söhne\nKäthe Groß;Leiterin;Bäckerei\n"
RUSSIAN = "name;role;company\nАлексей Смирнов;Директор;Ромашка\nОльга Кузнецова;Юрист;Сибирь\n"  # noqa: RUF001
CORE = ("cp1250", "cp1251", "cp1252", "gb18030")


def read(
    data: bytes, encoding: str | None = None, charset: str | None = None
) -> tuple[list[ProspectRow], str | None, str]:
    """The prospects, the encoding that was taken, and the warnings."""
    reader = CsvReader(encoding=encoding, charset=charset)
    with closing(reader.file):
        lists = [*reader.feed(data), *reader.finish()]
    rows = [row for rows in lists for row in rows if isinstance(row, ProspectRow)]
    return rows, reader.file.found.encoding, " ".join(reader.warnings)


def told_apart(part: str) -> tuple[Counter[str], Counter[str], list[EncodedFile], list[EncodedFile]]:
    """Files read rightly and all files by group; those read wrongly, and those of them without a warning."""
    right: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    wrong: list[EncodedFile] = []
    unwarned: list[EncodedFile] = []
    for file in encoded_files(part):
        guess = guess_encoding(file.data)
        is_right = file.data.decode(guess.encoding, "replace") == file.text
        tried[file.group] += 1
        right[file.group] += is_right
        if not is_right:
            wrong.append(file)
            if guess.certain:
                unwarned.append(file)
    return right, tried, wrong, unwarned


@pytest.mark.parametrize(("part", "least"), [("fitted", 0.97), ("held_out", 0.96), ("rows", 0.96)])
def test_legacy_encodings_are_told_apart(part: str, least: float) -> None:
    """Of small files nearly all are read rightly, and hardly one wrongly without a warning."""
    right, tried, wrong, unwarned = told_apart(part)
    table = [f"{group:20}{right[group]:4} of {tried[group]}" for group in sorted(tried)]
    misses = [f"{file.group}, {file.language}: {file.text.splitlines()[1:3]}" for file in wrong]
    report = "\n".join([f"{part}: {right.total()} of {tried.total()}", *table, *misses])
    print(report)  # noqa: T201 - pytest -s shows the table
    assert right.total() / tried.total() >= least, report
    full = [f"{encoding}, full" for encoding in CORE]
    assert sum(right[group] for group in full) == sum(tried[group] for group in full), report
    assert len(unwarned) <= tried.total() / 100, report


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        (GERMAN, "cp1252", "windows-1252"),
        (GERMAN, "mac_roman", "macintosh"),
        (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8-r", "koi8-r"),
        (GERMAN, "utf-8", "utf-8"),
        (GERMAN, "utf-8-sig", "utf-8"),
        (GERMAN, "utf-16", "utf-16-le"),
        (GERMAN, "utf-16-le", "utf-16-le"),
        (GERMAN, "utf-16-be", "utf-16-be"),
        (GERMAN, "utf-32", "utf-32-le"),
        ("role;company\nCTO;Acme\n", "ascii", "utf-8"),
    ],
)
def test_the_answer_says_which_encoding_was_taken(text: str, encoding: str, shown: str) -> None:
    """With a mark or without, the text comes out right, and the encoding is said by its usual name."""
    rows, taken, warnings = read(text.encode(encoding))
    assert [row.role for row in rows] == [line.split(";")[-2] for line in text.splitlines()[1:]]
    assert (taken, "uncertain" in warnings or "not certain" in warnings) == (shown, False)


def test_a_name_settles_it() -> None:
    """An encoding that is named is obeyed, whether it comes before the file or only behind it."""
    data = RUSSIAN.encode("cp866")
    for rows, taken, _ in (read(data, "CP866"), read(data, charset="cp866")):
        assert (rows[0].role, taken) == ("Директор", "cp866")
    assert read(data, "cp866", charset="koi8-r")[1] == "cp866"
    assert read(GERMAN.encode("utf-16-be"), "utf-16-be")[0][0].name == "Jürgen Schäfer"
    assert read(b"role;company\nCTO;A\n", "windows-1250")[1] == "windows-1250"


def test_a_charset_counts_where_a_file_is_not_utf8() -> None:
    """Clients write a charset without having looked: what is valid UTF-8 beyond ASCII is UTF-8."""
    rows, taken, _ = read(GERMAN.encode(), charset="iso-8859-1")
    assert (rows[0].name, taken) == ("Jürgen Schäfer", "utf-8")
    assert read(GERMAN.encode("cp1252"), charset="no-such-charset")[1] == "windows-1252"


def test_a_mark_is_believed_more_than_a_name() -> None:
    """A byte order mark leaves no doubt, and a warning says that it was followed."""
    rows, taken, warnings = read(codecs.BOM_UTF8 + GERMAN.encode(), "windows-1251")
    assert (rows[0].name, taken) == ("Jürgen Schäfer", "utf-8")
    assert "not as windows-1251" in warnings
    assert "byte order mark" not in read(codecs.BOM_UTF8 + GERMAN.encode(), "utf-8")[2]
    assert "byte order mark" not in read(GERMAN.encode("utf-16"), "utf-16")[2]
    assert read(GERMAN.encode(), "utf-8-sig")[1] == "utf-8"


def test_an_uncertain_guess_says_so_with_a_cell() -> None:
    """Where the letters could be those of two encodings, the sender sees one cell, and what to send."""
    _, taken, warnings = read("name;role\nNi\xe3 Popescu;CEO\n".encode("cp1252"))
    assert taken == "windows-1252"
    assert "not certain" in warnings
    assert '"Niã Popescu"' in warnings
    assert "encoding=" in warnings


def test_damaged_utf8_is_not_taken_for_another_encoding() -> None:
    """One broken character among whole ones costs its row, wherever it stands."""
    rows, taken, _ = read(b"role;company\nB\xc3;x\n" + "Geschäftsführer;Müller\n".encode() * 3)
    assert (len(rows), taken) == (3, "utf-8")


@pytest.mark.parametrize(
    "name", ["latin-9000", "base64", "rot13", "undefined", "idna", "../x", "", "x" * 90, "é"]
)
def test_an_unknown_encoding_is_refused_with_the_usual_ones(name: str) -> None:
    """What is no encoding of a text is named, and the usual ones are listed."""
    with pytest.raises(CsvRefused) as refused:
        find_encoding(name)
    assert (refused.value.status, "windows-1251" in refused.value.reason) == (422, True)


def test_a_shown_name_can_be_given_back() -> None:
    """Whatever the answer calls an encoding, it is understood as a parameter."""
    for codec in (
        "cp1252",
        "mac-roman",
        "iso8859-2",
        "gb18030",
        "koi8-r",
        "utf-16-le",
        "cp932",
        "big5",
        "cp850",
    ):
        assert find_encoding(shown_name(codec)).replace("_", "-") == codec


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_below_title_lines(delimiter: str) -> None:
    """Lines above the table without any delimiter, or with a comma in a sentence, do not decide."""
    table = "name;role;company\nAnn;CTO, EMEA;A\nBo;CEO, APAC;B\n".replace(";", delimiter)
    reader = CsvReader()
    with closing(reader.file):
        text = table if delimiter == "," else f"Report: leads, all of them\n\n{table}"
        lists = reader.file.feed(text.encode())
        records = [record for rows in (*lists, *reader.file.finish()) for _, record in rows]
    assert reader.file.found.delimiter == delimiter
    assert ["name", "role", "company"] in records
