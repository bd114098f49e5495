#!/usr/bin/env python3
"""Write everything that follows from the declarations in src/kvcore/_native/spec/.

gen.py                              write the generated files
gen.py --check                      exit with 1 when one of them is stale
gen.py --verify-examples HOST:PORT  run the examples of the declarations against a real server
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from generator import c_table, config, docs, examples, python, spec  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ROOT / "src/kvcore/_native"
SPEC = NATIVE / "spec"


def outputs() -> dict[Path, str]:
    """Path -> the text that belongs there."""
    options = config.load(SPEC / "config.toml")
    commands = spec.load(SPEC)
    found = {ROOT / "docs/commands" / name: text for name, text in docs.pages(commands).items()}
    return found | {
        ROOT / "tests/commands/examples.json": examples.document(commands),
        ROOT / "src/kvcore/commands.py": python.source(commands),
        NATIVE / "api/command_table.h": c_table.header(),
        NATIVE / "api/command_table.c": c_table.source(commands),
        NATIVE / "engine/errors.h": config.errors_header(SPEC / "errors.toml"),
        NATIVE / "engine/config_fields.h": config.fields_header(options),
        NATIVE / "api/config_table.h": config.table_header(),
        NATIVE / "api/config_table.c": config.table_source(options),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 when a generated file is stale"
    )
    parser.add_argument("--verify-examples", metavar="HOST:PORT", help="run the examples against a server; EMPTIES it")
    arguments = parser.parse_args()
    if arguments.verify_examples:
        host, _, port = arguments.verify_examples.rpartition(":")
        wrong = examples.verify(spec.load(SPEC), host or "127.0.0.1", int(port))
        print("\n".join(wrong) if wrong else "all examples are true")
        return 1 if wrong else 0
    stale = [(path, text) for path, text in outputs().items() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        print(f"{'stale' if arguments.check else 'wrote'}: {path.relative_to(ROOT)}")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
