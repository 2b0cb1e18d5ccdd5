"""`cityvigil rules fit`: a model of a clean history, written as a file that a rule names.

The history is a CSV with a time and a column for each sensor, named GATEWAY/POINT, as long as nothing was
wrong. It should be rounded as the live readings are and come as often. Nothing is looked at but the file.
"""

from __future__ import annotations

from pathlib import Path

from cityvigil.errors import CannotRun
from cityvigil.score_csv import read
from detectors.fitted import fit, loaded
from detectors.group import LibraryMissing, TooLittle
from schemas.model import LARGEST, Model, encode


def fit_file(history: Path, out: Path, detector: str, time_column: str | None = None) -> Model:
    """Raises CannotRun: one line that says what is wrong in which file."""
    recording = read(history, time_column)
    for name in recording.names:
        if not all(name.partition("/")):
            raise CannotRun(f"{history}: row 1, column {name}: expected a sensor's GATEWAY/POINT")
    if not recording.times:
        raise CannotRun(f"{history}: row 2: expected a clean history, got the end of the file")
    try:
        span = recording.times[0], recording.times[-1]
        model = fit(detector, recording.names, recording.at, recording.values, span)
    except TooLittle as error:
        raise CannotRun(f"{history}: {error}") from None
    except LibraryMissing as error:
        raise CannotRun(str(error)) from None
    loaded(model)
    data = encode(model)
    if len(data) > LARGEST:
        raise CannotRun(f"{history}: the model has {len(data)} bytes, more than {LARGEST}: fewer columns")
    try:
        out.write_bytes(data)
    except OSError as error:
        raise CannotRun(f"{out}: {error.strerror}") from None
    return model
