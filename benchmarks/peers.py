#!/usr/bin/env python3
"""Installs the Python libraries of the extra `bench`, one by one: one that cannot be installed keeps no other away,
and its reason is told. Those that are here already are left alone.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def wanted() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: list[str] = project["optional-dependencies"]["bench"]
    return found


def main() -> int:
    for requirement in wanted():
        name = requirement.split(">")[0]
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
            done = subprocess.run(pip, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
                print(f"{name} cannot be installed here: {reason}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
