"""Tables of inputs: one test checks every row and fails with all the rows that are wrong."""

import functools
import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

_SHOWN = 200
"""Characters of a row's value that a report shows."""

Test = Callable[..., Any]


def every_row(names: str | tuple[str, ...], rows: Iterable[Any]) -> Callable[[Test], Test]:
    """Call a test once for every row, as one test item whose failure lists each wrong row with its reason.

    It takes its arguments as `pytest.mark.parametrize` does, and may stand above another `every_row`, for all
    pairs of rows. The rows share the fixtures of the test: where each row needs its own, parametrize. Raises
    ValueError where there is no row, since such a test could not fail.
    """
    fields = (names,) if isinstance(names, str) else names
    table = [dict(zip(fields, (row,) if isinstance(names, str) else row, strict=True)) for row in rows]
    if not table:
        raise ValueError(f"a table of {', '.join(fields)} without a row")

    def decorate(test: Test) -> Test:
        whole = inspect.signature(test)
        fixtures = [given for name, given in whole.parameters.items() if name not in fields]
        file = inspect.unwrap(test).__code__.co_filename

        if inspect.iscoroutinefunction(test):

            @functools.wraps(test)
            async def checked(*args: Any, **given: Any) -> None:
                with _reported(len(table)) as wrong:
                    for row in table:
                        with _noted(row, file, wrong):
                            await test(*args, **given, **row)
        else:

            @functools.wraps(test)
            def checked(*args: Any, **given: Any) -> None:
                with _reported(len(table)) as wrong:
                    for row in table:
                        with _noted(row, file, wrong):
                            test(*args, **given, **row)

        # By this pytest knows which fixtures the test needs.
        checked.__signature__ = whole.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return checked

    return decorate


@contextmanager
def _reported(count: int) -> Iterator[list[str]]:
    """Yield the list that takes what is wrong, and fail with it."""
    wrong: list[str] = []
    yield wrong
    if wrong:
        pytest.fail("\n".join((f"{len(wrong)} of {count} rows are wrong:", *wrong)), pytrace=False)


@contextmanager
def _noted(row: Mapping[str, object], file: str, wrong: list[str]) -> Iterator[None]:
    """Note what a row raises; a skip goes on, as the whole test's."""
    try:
        yield
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever it is, the row caused it
        shown = ", ".join(f"{name}={_shortened(value)}" for name, value in row.items())
        wrong.append(f"- {shown}\n{_indented(_told(error, file))}")


def _told(error: BaseException, file: str) -> str:
    """Return where in the test's file it was raised, and what."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    place = f"line {frames[-1].lineno}: {frames[-1].line}\n" if frames else ""
    kind = "" if isinstance(error, AssertionError | pytest.fail.Exception) else f"{type(error).__name__}: "
    return f"{place}{kind}{error}"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
