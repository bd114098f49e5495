"""The report of `kvcore inspect` as a page: text, tables and bar charts in SVG, in one file that refers to nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape

from kvcore._version import VERSION
from kvcore.cli.inspect import Report, Sums, percent, shown, size_text, sums_row

STYLE = """
:root { --ink: #1c2330; --soft: #667085; --line: #e3e7ee; --paper: #fff; --bar: #3b6fb6; --second: #9db7d8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --soft: #98a2b3; --line: #303745; --paper: #14181f; --bar: #6f9fe0; --second: #3d5475 }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem }
p { margin: .2rem 0; color: var(--soft) } .problem { color: #b42318; font-weight: 600 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: right; font-weight: 600; color: var(--soft); border-bottom: 1px solid var(--line);
  padding: .25rem .6rem }
td { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; padding-left: 0 }
svg { width: 100%; height: auto; display: block; margin-bottom: .8rem } svg text { font: 13px system-ui, sans-serif;
  fill: var(--ink) } .bar { fill: var(--bar) } .second { fill: var(--second) } .soft { fill: var(--soft) }
"""
WIDTH, LABEL, ROW = 900, 260, 24


def bars(rows: Sequence[tuple[str, int, str]]) -> str:
    """Horizontal bars: name, length, and what is written behind it."""
    most = max((length for _, length, _ in rows), default=0) or 1
    room = WIDTH - LABEL - 190
    lines = [f'<svg viewBox="0 0 {WIDTH} {ROW * len(rows) + 4}" role="img">']
    for number, (name, length, note) in enumerate(rows):
        y, wide = ROW * number, max(1.0, room * length / most) if length else 0
        label = escape(shown(name.encode(), 34))
        lines.append(
            f'<text x="{LABEL - 10}" y="{y + 16}" text-anchor="end"><title>{escape(name)}</title>{label}</text>'
        )
        lines.append(f'<rect class="bar" x="{LABEL}" y="{y + 4}" width="{wide:.1f}" height="{ROW - 8}" rx="2"/>')
        lines.append(f'<text class="soft" x="{LABEL + wide + 8:.1f}" y="{y + 16}">{escape(note)}</text>')
    return "\n".join([*lines, "</svg>"])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; every cell is text."""
    lines = ["<table><thead><tr>", *(f"<th>{escape(cell)}</th>" for cell in head), "</tr></thead><tbody>"]
    for row in rows:
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def section(title: str, named: Sequence[tuple[str, Sums]], total: Sums, first: str, by_keys: bool = False) -> str:
    """A chart and its table."""
    chart = bars(
        [
            (name, s.keys, f"{s.keys:,} keys, {percent(s.keys, total.keys)}")
            if by_keys
            else (name, s.memory, f"{size_text(s.memory)}, {percent(s.memory, total.memory)}")
            for name, s in named
        ]
    )
    head = (first, "keys", "share", "memory", "share", "each")
    return f"<h2>{escape(title)}</h2>\n{chart}\n{table(head, [sums_row(name, s, total) for name, s in named])}"


def page(report: Report) -> str:
    """The whole page."""
    total = report.total
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(report.written_ms / 1000))
    maker = next(
        (f"{name} {report.facts[name]}" for name in report.facts if name.endswith("-ver")), "an unknown program"
    )
    notes = [
        f"{total.keys:,} keys, {size_text(total.memory)} of memory when loaded, {total.expiring:,} with an expiry",
        f"written by {maker}, {when}",
        *(
            f"{f['path']}: {'RDB version ' + str(f['version']) if f['version'] else 'a log'}, {size_text(f['bytes'])}"
            for f in report.files
        ),
    ]
    if report.commands:
        notes.append(
            f"a log of {report.commands:,} commands, {size_text(report.log_bytes)}, which is not contained below"
        )
    notes += [f"holds what kvcore does not read: {word} ({count:,})" for word, count in report.unread.items()]
    by_memory = sorted(report.types.items(), key=lambda entry: -entry[1].memory)
    encodings = sorted(report.encodings.items(), key=lambda entry: -entry[1].memory)
    biggest = [
        [shown(b.key, 80), str(b.db), b.type, b.encoding, f"{b.elements:,}", size_text(b.memory), size_text(b.stored)]
        for b in report.biggest
    ]
    parts = [
        f'<p class="problem">{escape(report.problem)}</p>' if report.problem else "",
        section("Memory by type", by_memory, total, "type"),
        section(
            "Memory by encoding (loaded, and in the file)",
            [(f"{kind}: {encoding}, {form}", sums) for (kind, encoding, form), sums in encodings],
            total,
            "encoding",
        ),
        section(f"Memory by prefix, up to {report.separator!r}", report.ranked_prefixes(), total, "prefix"),
        section("Time to live, when the file was written", report.ordered_lives(), total, "left", by_keys=True),
        "<h2>Biggest keys</h2>",
        bars([(shown(b.key), b.memory, size_text(b.memory)) for b in report.biggest]),
        table(("key", "db", "type", "encoding", "elements", "memory", "in the file"), biggest),
    ]
    if len(report.databases) > 1:
        named = [(f"db {number}", sums) for number, sums in sorted(report.databases.items())]
        parts.insert(4, section("Memory by database", named, total, "database"))
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(report.source)}</title><style>{STYLE}</style></head><body>",
            f"<h1>{escape(report.source)}</h1>",
            *(f"<p>{escape(note)}</p>" for note in notes),
            *parts,
            f"<p>kvcore inspect {VERSION}</p></body></html>\n",
        ]
    )
