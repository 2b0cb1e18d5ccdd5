"""deploy/backup.sh keeps whole dumps of everything but readings, and only the newest."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg

from cityvigil import process
from schemas.migrations import migrations

ROOT = Path(__file__).parent.parent.parent


def test_a_dump_holds_cases_and_no_readings_and_old_dumps_go(postgres_dsn: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        for migration in migrations():
            connection.execute(migration.sql.encode())
        connection.execute("insert into reading_texts values (now(), 1, 'open', 0)")
    (tmp_path / "dsn").write_text(postgres_dsn)
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in (1, 2, 3):
        (folder / f"cityvigil-2020010{day}T000000Z.dump").touch()
    environ = {
        "FOLDER": str(folder),
        "POSTGRES_DSN_FILE": str(tmp_path / "dsn"),
        "KEEP": "2",
        "EVERY_S": "600",
    }
    running = subprocess.Popen(
        [ROOT / "deploy/backup.sh"],
        env=os.environ | environ,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        assert process.wait(lambda: len(list(folder.iterdir())) == 2, 30)
    finally:
        os.killpg(running.pid, 15)
        running.wait()
    old, new = sorted(folder.iterdir())
    assert old.name == "cityvigil-20200103T000000Z.dump"
    listed = subprocess.run(["pg_restore", "--list", new], capture_output=True, text=True, check=True).stdout
    assert "TABLE DATA public cases " in listed
    assert "TABLE public reading_texts " in listed
    assert "TABLE DATA public reading_texts " not in listed
