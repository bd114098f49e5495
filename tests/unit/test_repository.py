"""What is kept under version control."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST = 1 << 20


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not a checkout")
def test_no_large_file_is_tracked() -> None:
    """A snapshot that some server left in the working directory was once committed."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    files = [ROOT / name.decode() for name in names if name]
    assert len(files) > 100
    large = {path.name: path.stat().st_size for path in files if path.is_file() and path.stat().st_size > MOST}
    assert large == {}
