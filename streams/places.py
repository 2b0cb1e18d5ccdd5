"""Where snapshots lie: files by name in a local folder, or objects in a store that fsspec knows.

A file is whole under its name or not there. A local folder promises that by writing aside, fsync and
rename; an object store (s3, gs, abfs) because an upload counts when it is complete. Stores that may show
half a file (sftp, some network file systems) are caught by the checksum in the name, which the reader
compares. Does not know what the names mean.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from fsspec.core import url_to_fs

Part = bytes | memoryview


class NoPlace(ValueError):
    """An address that names no store we can use, with what is wrong."""


class Place(Protocol):
    """Any thread may use it. Methods raise OSError or what the store's library raises."""

    def open(self) -> None: ...
    def names(self) -> list[str]: ...
    def read(self, name: str) -> bytes: ...
    def write(self, name: str, parts: Sequence[Part]) -> None: ...
    def remove(self, name: str) -> None: ...


class Folder:
    """A local folder. `writer` marks what is half written, so that workers sweep out only their own."""

    def __init__(self, path: Path, writer: str = "1") -> None:
        self._path = path
        self._tail = f".{writer}.writing"

    def open(self) -> None:
        """Makes the folder and sweeps out what this writer left half written when it was killed."""
        self._path.mkdir(parents=True, exist_ok=True)
        for leftover in self._path.glob(f".*{self._tail}"):
            leftover.unlink(missing_ok=True)

    def names(self) -> list[str]:
        return [entry.name for entry in os.scandir(self._path)]

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def write(self, name: str, parts: Sequence[Part]) -> None:
        """Done when it is on disk for good."""
        aside = self._path / f".{name}{self._tail}"
        with aside.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path / name)
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)


class Remote:
    """A folder of a store that every worker reaches, by fsspec."""

    def __init__(self, files: Any, path: str) -> None:
        self._files = files
        self._path = path.rstrip("/")

    def open(self) -> None:
        self._files.makedirs(self._path, exist_ok=True)

    def names(self) -> list[str]:
        self._files.invalidate_cache(self._path)  # others write here too
        try:
            found = self._files.ls(self._path, detail=False)
        except FileNotFoundError:
            return []  # object stores have no empty folders
        return [str(name).rstrip("/").rpartition("/")[2] for name in found]

    def read(self, name: str) -> bytes:
        data = self._files.cat_file(f"{self._path}/{name}")
        return bytes(data)

    def write(self, name: str, parts: Sequence[Part]) -> None:
        """In one call: what is opened and written in pieces may be completed by an error half way."""
        self._files.pipe_file(f"{self._path}/{name}", b"".join(parts))

    def remove(self, name: str) -> None:
        try:
            self._files.rm_file(f"{self._path}/{name}")
        except FileNotFoundError:
            return


def is_local(url: str) -> bool:
    """Whether this names a folder of the machine: a path or file://."""
    return urlsplit(url).scheme in ("", "file")


def place_of(url: str, below: str, writer: str) -> Place:
    """The folder `below` of the store at `url`: a path, file://PATH, s3://BUCKET/PATH. Raises NoPlace."""
    parts = urlsplit(url)
    if is_local(url):
        path = url2pathname(parts.path) if parts.scheme else url
        return Folder(Path(path) / below, writer)
    try:
        files, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise NoPlace(f"CITYVIGIL_SNAPSHOTS={url!r}: {error}") from None
    return Remote(files, f"{path.rstrip('/')}/{below}")
