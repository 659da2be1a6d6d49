"""One test over a whole table, which hides no row that is wrong."""

import asyncio
import inspect

import pytest

from leadline_testing.tables import every_row

SUMS = [(1, 1, 2), (1, 2, 4), (2, 2, 4), (0, 0, 1)]


def test_all_wrong_rows_are_listed() -> None:
    """Each wrong row is told by its values and its own reason, and the others are not."""

    @every_row(("one", "other", "total"), SUMS)
    def adds(one: int, other: int, total: int) -> None:
        if total == 1:
            raise ZeroDivisionError("odd")
        assert one + other == total

    with pytest.raises(pytest.fail.Exception) as failed:
        adds()
    told = str(failed.value).splitlines()
    assert told[0] == "2 of 4 rows are wrong:"
    assert [line for line in told if line.startswith("- ")] == [
        "- one=1, other=2, total=4",
        "- one=0, other=0, total=1",
    ]
    assert ": assert one + other == total\n    assert (1 + 2) == 4" in str(failed.value)
    assert "ZeroDivisionError: odd" in str(failed.value)


def test_every_row_is_checked_once() -> None:
    """A table that holds is gone through to its end, and two tables give every pair of their rows."""
    seen = []

    @every_row("letter", "ab")
    @every_row("number", [1, 2])
    def pair(letter: str, number: int) -> None:
        seen.append(f"{letter}{number}")

    pair()
    assert seen == ["a1", "a2", "b1", "b2"]


def test_fixtures_are_all_that_is_asked_for() -> None:
    """pytest looks for no fixture by the name of a column, and hands the others through."""

    @every_row("number", [1, 2])
    def test(fixture: list[int], number: int) -> None:
        fixture.append(number)

    taken: list[int] = []
    test(fixture=taken)
    assert list(inspect.signature(test).parameters) == ["fixture"]
    assert taken == [1, 2]


def test_an_asynchronous_test_is_awaited_for_every_row() -> None:
    """What a row raises after it waited is that row's as well, a missing exception too."""

    @every_row("number", [1, 2, 3])
    async def small(number: int) -> None:
        await asyncio.sleep(0)
        if number > 1:
            with pytest.raises(ValueError, match="large"):
                pass

    with pytest.raises(pytest.fail.Exception, match=r"2 of 3 rows(?s:.*)DID NOT RAISE"):
        asyncio.run(small())


def test_a_table_has_a_row() -> None:
    """A table that is empty by mistake is no test that passes."""
    with pytest.raises(ValueError, match="table of name without a row"):
        every_row("name", [])


def test_long_values_are_cut() -> None:
    """A row of a megabyte does not make a report of a megabyte."""

    @every_row("text", ["x" * 1_000_000])
    def never(text: str) -> None:
        assert not text[:5], "it is there"

    with pytest.raises(pytest.fail.Exception, match="1000002 characters") as failed:
        never()
    assert len(str(failed.value)) < 1_000
