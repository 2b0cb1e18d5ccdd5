"""What is shipped and pinned: the wheel holds the product and its data, the locks name no registry."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")
CLIENTS = ("tests/clients/build.lock", "tests/clients/sparkplug.lock", "tests/clients/thingsboard.lock")


def test_the_wheel_holds_the_packages_with_their_data_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == packages
    data = {
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".csv", ".sql", ".html", ".js", ".css", ".json", ".yaml", ".typed"}
    }
    assert data <= names


@pytest.mark.parametrize("lock", LOCKS + CLIENTS)
def test_a_lock_pins_every_package_by_hash_and_names_no_registry(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    pins = re.split(r"\n(?=[a-z])", text.strip())
    assert len(pins) > 5 or lock in CLIENTS
    assert [pin for pin in pins if "--hash=sha256:" not in pin or "==" not in pin.splitlines()[0]] == []


def test_what_the_product_needs_is_pinned_alike_in_both_locks() -> None:
    product, everything = (
        set(re.findall(r"^[a-z0-9-]+(?:\[[a-z,]+\])?==\S+", (ROOT / lock).read_text(), re.MULTILINE))
        for lock in LOCKS[:2]
    )
    assert product <= everything
