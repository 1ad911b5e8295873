"""Files as people send them, and as nobody should: rows or a refusal, nothing else."""

import contextlib
import csv
import io
from datetime import UTC, datetime

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from call_service.batches.errors import FileRefusedError
from call_service.batches.results import harmless
from call_service.batches.sheets import Row, read_sheet
from call_service.batches.verdicts import Judge

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def rows_of(content: bytes, name: str = "a.csv") -> list[dict[str, str]]:
    return [row.cells for row in read_sheet(io.BytesIO(content), name, "number")]


@given(st.binary(max_size=400), st.sampled_from(["a.csv", "a.xlsx"]))
def test_any_bytes_are_rows_or_a_refusal(content: bytes, name: str) -> None:
    judge = Judge(["name"], None, NOW)
    for prefix in (b"", b"number,name\n"):
        with contextlib.suppress(FileRefusedError):
            for row in read_sheet(io.BytesIO(prefix + content), name, "number"):
                verdict = judge.verdict(row)
                assert verdict.reason or "name" in verdict.variables
                assert len(verdict.number) <= 40


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), min_size=1, max_size=20).filter(
    lambda text: text.strip() != ""
)


@given(
    st.lists(st.tuples(cells, cells), min_size=1, max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_a_spreadsheet_writes_is_read_back(rows: list[tuple[str, str]], delimiter: str, encoding: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(("number", "some name"))
    writer.writerows(rows)
    assert rows_of(text.getvalue().encode(encoding)) == [{"number": number, "some name": name} for number, name in rows]


odd_cells = st.text() | st.sampled_from(["+12025550100", '{"\\u0000": []}', '{"a": "\\u0000"}', "\x00", "x" * 2001])


@given(
    st.dictionaries(st.text(max_size=5), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
)
def test_any_variables_get_a_verdict(variables: object) -> None:
    with contextlib.suppress(TypeError):  # what orjson can't write: lone surrogates, huge integers
        cell = orjson.dumps(variables).decode()
        content = io.StringIO()
        csv.writer(content).writerows([("number", "dynamicVariables"), ("+12025550100", cell)])
        file = io.BytesIO(content.getvalue().encode())
        [row] = read_sheet(file, "a.csv", "number")
        verdict = Judge([], None, NOW).verdict(row)
        assert verdict.reason is not None or all(isinstance(value, str) for value in verdict.variables.values())
        assert "\x00" not in (verdict.reason or "")


@given(st.dictionaries(st.sampled_from(["number", "dynamicVariables", "a\x00b", "timezone", "\x00"]), odd_cells))
@example({"number": "+12025550100", "dynamicVariables": '{"\\u0000": {}}'})
@example({"number": "+12025550100", "a\x00b": "x" * 2001})
def test_whatever_a_row_holds_its_verdict_can_be_stored(cells: dict[str, str]) -> None:
    """One row with U+0000 in a variable's name failed its whole file."""
    verdict = Judge([], None, NOW).verdict(Row(2, cells))
    stored = (verdict.number, verdict.lane, verdict.reason or "", *verdict.variables, *verdict.variables.values())
    assert not any("\x00" in text for text in stored)


@given(st.text())
def test_no_cell_of_the_result_begins_a_formula(text: str) -> None:
    shown = harmless(text)
    assert shown.removeprefix("'") == text.removeprefix("'")
    assert not shown.startswith(("=", "@", "\t", "\r", "\n"))
    if shown.startswith(("+", "-")):
        assert set(shown[1:]) <= set("0123456789.")


def test_a_phone_number_stays_one() -> None:
    assert harmless("+12025550100") == "+12025550100"
    assert harmless("+1-2+cmd|' /C calc'!A0") == "'+1-2+cmd|' /C calc'!A0"


def test_a_row_with_a_huge_cell_is_refused_for_that() -> None:
    """It was said to have misplaced quotes."""
    content = b"number,name\n+12025550100," + b"x" * (csv.field_size_limit() + 1) + b"\n+12025550101,Anna\n"
    first, second = read_sheet(io.BytesIO(content), "a.csv", "number")
    assert first.problem == f"A cell has more than {csv.field_size_limit()} characters."
    assert (second.problem, second.cells["name"]) == (None, "Anna")
