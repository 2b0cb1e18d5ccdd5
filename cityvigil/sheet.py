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
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import openpyxl

ZIP = b"PK\x03\x04"
MAX_UNPACKED_BYTES = 2**30
"""Of a workbook: 234,000 sensors are 130 MB; a file made to fill a disk is refused before it is unpacked."""

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
    text = _text(data)
    if text is None:
        raise Unreadable(0, "CSV in UTF-8 or GB18030, or an .xlsx workbook", "bytes of neither")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if "".join(cells).strip():
                yield reader.line_num, cells
    except csv.Error as error:
        raise Unreadable(reader.line_num, "CSV", str(error)) from None


def _text(data: bytes) -> str | None:
    if b"\0" in data:  # never in a text, though GB18030 would let it pass
        return None
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _workbook_rows(data: bytes) -> Iterator[Row]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            if sum(part.file_size for part in packed.infolist()) > MAX_UNPACKED_BYTES:
                limit = f"a workbook of at most {MAX_UNPACKED_BYTES // 2**20} MiB unpacked"
                raise Unreadable(0, limit, "a larger one")
        with warnings.catch_warnings():
            # It warns of styles and validations that it does not keep; we want the values only.
            warnings.simplefilter("ignore", UserWarning)
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(0, "an .xlsx workbook", f"one that cannot be read ({error})") from None
    sheet = book.worksheets[0]
    sheet.reset_dimensions()  # some programs write wrong ones, and rows would be cut off
    width = 0
    for line, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        texts = [_cell(cell) for cell in cells]
        while texts and not texts[-1].strip():
            texts.pop()
        if texts:
            width = width or len(texts)
            yield line, texts + [""] * (width - len(texts))


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
