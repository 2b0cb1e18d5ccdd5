"""A table as people keep it, CSV or an .xlsx workbook, as rows of text; and rows written as either.

CSV may be UTF-8 with or without a byte order mark, or GB18030, as spreadsheets in China save it. Of a
workbook the first sheet is read, values and not formulas. Says where a file cannot be read; what the cells
mean is not known here.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

import openpyxl

ZIP = b"PK\x03\x04"
MAX_UNPACKED_BYTES = 2**30
"""Of a workbook: 234,000 sensors are 130 MB; a file made to fill a disk is refused before it is unpacked."""

OLD_OR_LOCKED = b"\xd0\xcf\x11\xe0"
READABLE = "CSV in UTF-8 or GB18030, or an .xlsx workbook"
_BROKEN = (
    zipfile.BadZipFile, zlib.error, LookupError, ValueError, TypeError, AttributeError, ArithmeticError,
    RuntimeError, SyntaxError, OSError, EOFError,
)  # fmt: skip
"""What openpyxl says of a broken part is whatever it stumbles over."""

Row = tuple[int, list[str]]


class Unreadable(ValueError):
    """`row` is the line, 0 for the whole file."""

    def __init__(self, row: int, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.row, self.expected, self.got = row, expected, got


def rows_of(data: bytes) -> Iterator[Row]:
    """Rows that are not empty, with the line (the first is 1) they end on. Raises Unreadable."""
    return _workbook_rows(data) if data.startswith(ZIP) else _csv_rows(data)


def written(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """As CSV."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def workbook(sheets: Iterable[tuple[str, Iterable[Sequence[str]]]]) -> bytes:
    """An .xlsx with these sheets; all cells are text, so that 0012 stays 0012."""
    book = openpyxl.Workbook(write_only=True)
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        sheet.freeze_panes = "A2"
        for row in rows:
            sheet.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _csv_rows(data: bytes) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(_text(data), newline=""), strict=True)
    begun = 1
    try:
        for cells in reader:
            if "".join(cells).strip():
                yield reader.line_num, cells
            begun = reader.line_num + 1
    except csv.Error as error:
        said = str(error)
        if said == "unexpected end of data":
            raise Unreadable(begun, "an end to the quote that opens here", "the end of the file") from None
        if said.startswith("field larger"):
            most = f"cells of at most {csv.field_size_limit()} characters"
            raise Unreadable(begun, most, "a longer one (or a quote stays open)") from None
        raise Unreadable(begun, "CSV", said) from None


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable(0, READABLE, "UTF-16")
    if data.startswith(OLD_OR_LOCKED):
        raise Unreadable(0, READABLE, "an old .xls, or a workbook behind a password")
    if (nul := data.find(b"\0")) >= 0:  # never in a text, though GB18030 would let it pass
        line = _line(data, nul)
        raise (
            Unreadable(0, READABLE, "bytes of neither")
            if line == 1
            else Unreadable(line, "text", "a NUL byte")
        )
    furthest = 0
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            # After a byte order mark the places count from behind it.
            furthest = max(furthest, error.start + len(data) - len(error.object))
    raise Unreadable(_line(data, furthest), READABLE, f"the byte 0x{data[furthest]:02x}, which fits neither")


def _line(data: bytes, at: int) -> int:
    return data.count(b"\n", 0, at) + 1


def _workbook_rows(data: bytes) -> Iterator[Row]:
    line = 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            if sum(part.file_size for part in packed.infolist()) > MAX_UNPACKED_BYTES:
                limit = f"a workbook of at most {MAX_UNPACKED_BYTES // 2**20} MiB unpacked"
                raise Unreadable(0, limit, "a larger one")
            calculated = _has_formulas(packed)
        width = 0
        formulas = _lines(data, data_only=False) if calculated else repeat(())
        for line, (cells, sources) in enumerate(zip(_lines(data, data_only=True), formulas, strict=False), 1):
            for number, (cell, source) in enumerate(zip(cells, sources, strict=False), 1):
                if cell is None and source is not None:
                    what = f"a formula in cell {number} that no spreadsheet has calculated: save it in one"
                    raise Unreadable(line, "values", what)
            texts = [_cell(cell) for cell in cells]
            while texts and not texts[-1].strip():
                texts.pop()
            if texts:
                width = width or len(texts)
                yield line, texts + [""] * (width - len(texts))
    except _BROKEN as error:
        if isinstance(error, Unreadable):
            raise
        got = f"one that cannot be read ({error})"
        raise Unreadable(line and line + 1, "an .xlsx workbook", got) from None


def _has_formulas(packed: zipfile.ZipFile) -> bool:
    """Of any sheet. Only then is the workbook read twice."""
    for name in packed.namelist():
        if name.startswith("xl/worksheets/"):
            with packed.open(name) as part:
                before = b""
                while piece := part.read(2**20):
                    if b"<f>" in before + piece or b"<f " in before + piece:
                        return True
                    before = piece[-2:]
    return False


def _lines(data: bytes, *, data_only: bool) -> Iterator[tuple[Any, ...]]:
    """Of the first sheet: values, or where a cell has one its formula."""
    with warnings.catch_warnings():
        # It warns of styles and validations that it does not keep; we want the values only.
        warnings.simplefilter("ignore", UserWarning)
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=data_only)
    if not book.worksheets:
        raise Unreadable(0, "an .xlsx workbook with a sheet of cells", "one without")
    sheet = book.worksheets[0]
    sheet.reset_dimensions()  # some programs write wrong ones, and rows would be cut off
    yield from sheet.iter_rows(values_only=True)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case float():
            return repr(value).removesuffix(".0")
        case dt.datetime():
            return value.isoformat(" ")
        case _:
            return str(value)
