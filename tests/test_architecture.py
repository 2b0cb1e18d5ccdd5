"""The direction of dependency holds: front door, edges, detectors, schemas.

The contracts themselves stand in pyproject.toml (`[tool.importlinter]`); this runs them so that a broken one
fails the tests as well as `make check`.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_import_points_the_way_the_contracts_say() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
