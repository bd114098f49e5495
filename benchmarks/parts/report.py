"""Tables in Markdown of the result files: all of them in results/README.md, the headline in the project's README.

Nothing is measured here, so the texts can be made again from the saved figures at any time.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from . import goals
from .common import RESULTS, ROOT, Settings, say

BEGIN, END = "<!-- benchmarks: written by `make bench` -->", "<!-- benchmarks: end -->"
PLAIN = {
    "persist": "Keeping data",
    "cthreads": "C threads",
    "growth": "Single calls while tables grow",
    "flat": "Flat with size",
    "cores": "More cores, on paper",
}
TITLES = {"kvcore": "kvcore", "valkey": "Valkey", "redis": "Redis"}


def load(folder: Path, name: str) -> dict[str, Any] | None:
    path = folder / f"{name}.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found


def table(titles: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns but the first are figures."""
    lines = ["| " + " | ".join(titles) + " |", "|" + "|".join(["---"] + ["--:"] * (len(titles) - 1)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def short(value: float | None) -> str:
    """A figure in three significant digits, with separators."""
    if value is None:
        return "-"
    return f"{float(f'{value:.3g}'):,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def measured(saved: dict[str, Any]) -> str:
    machine = saved["machine"]
    missing = "".join(f" Missing: {name} ({reason})." for name, reason in saved.get("missing", {}).items())
    return (
        f"`{saved['command']}`, {saved['date']}, commit {saved['commit']}; {machine['cores']} cores "
        f"({machine['cpu']}), {machine['memory_gib']} GiB, {machine['system']}, CPython {machine['python']}.{missing}"
    )


def titled(name: str, versions: dict[str, str]) -> str:
    number = versions.get(name, "")
    return f"{TITLES.get(name, name)}{' ' + number if number and name != 'kvcore' else ''}"


def server_table(figures: dict[str, Any], size: int) -> str:
    """A row for each command and pipeline depth: throughput, p99 and CPU of all servers."""
    rows = [row for row in figures["rows"] if row["size"] == size]
    names = list(dict.fromkeys(row["server"] for row in rows))
    by_place = {(row["pipeline"], row["test"], row["server"]): row for row in rows}
    shown = [titled(name, figures["versions"]) for name in names]
    titles = ["", *(f"{name}: {what}" for what in ("requests/s", "p99 ms", "CPU µs/op") for name in shown)]
    lines = []
    for pipeline, test in dict.fromkeys((row["pipeline"], row["test"]) for row in rows):
        cells = [f"{test.upper()}{f', pipeline {pipeline}' if pipeline > 1 else ''}"]
        for what in ("rps", "p99_ms", "cpu_us"):
            values = [by_place.get((pipeline, test, name), {}).get(what) for name in names]
            known = [value for value in values if value is not None]
            best = (max if what == "rps" else min)(known)
            cells += [f"**{short(value)}**" if value == best else short(value) for value in values]
        lines.append(cells)
    return table(titles, lines)


def ratio_table(figures: dict[str, Any], size: int, base: str) -> str:
    rows = [row for row in figures["rows"] if row["size"] == size]
    by_place = {(row["pipeline"], row["test"], row["server"]): row for row in rows}
    lines = []
    for pipeline, test, name in by_place:
        if name == "kvcore" and (pipeline, test, base) in by_place:
            mine, other = by_place[pipeline, test, "kvcore"], by_place[pipeline, test, base]
            parts = [f"{mine[what] / max(other[what], 1e-9):.2f}" for what in ("rps", "p99_ms", "cpu_us")]
            lines.append([f"{test.upper()}, pipeline {pipeline}", *parts])
    return table([f"kvcore by {TITLES[base]}", "throughput", "p99", "CPU an operation"], lines) if lines else ""


def embedded_table(figures: dict[str, Any]) -> str:
    rows = []
    for name, row in figures["get_and_set"]["subjects"].items():
        version = f" ({row['version']})" if row.get("version") and name != "kvcore" else ""
        cells = [f"{name}{version}", f"{row['keys']:,}"]
        for operation in ("get", "set"):
            cells += [
                short(row[operation]["ns"]),
                f"{row[operation]['by_dict']:.2f}",
                f"{row[operation]['spread']:.2f}",
            ]
        rows.append(cells)
    titles = ["", "keys", "get ns", "by dict", "spread", "set ns", "by dict", "spread"]
    return table(titles, rows)


def command_table(figures: dict[str, Any]) -> str:
    rows = []
    for name, row in figures["commands"]["commands"].items():
        other = row.get("redis-py to Valkey", {})
        times = f"{row['times_faster']:.0f}" if "times_faster" in row else "-"
        rows.append([name, short(row["kvcore"]["ns"]), short(other.get("ns")), times])
    return table(["ns a call", "kvcore", "redis-py to Valkey", "times"], rows)


def memory_table(figures: dict[str, Any]) -> str:
    names = list(figures["versions"])
    rows = []
    for row in figures["shapes"]:
        shares = [f"{row['ratio'][name]:.2f}" for name in names if name != "kvcore"]
        rows.append([row["shape"], *(short(row[name]) for name in names), *shares])
    means = [f"{figures['geometric_mean'][name]:.3f}" for name in names if name != "kvcore"]
    rows.append(["geometric mean", *("" for _ in names), *means])
    titles = [titled(name, figures["versions"]) for name in names]
    return table(["bytes each", *titles, *(f"by {TITLES[name]}" for name in names if name != "kvcore")], rows)


def idle_text(figures: dict[str, Any]) -> str:
    if "idle" not in figures:
        return ""
    names = list(figures["idle"])
    rows = [
        ["idle server, MiB", *(f"{figures['idle'][name]['resident_bytes'] / 2**20:.2f}" for name in names)],
        ["idle connection, bytes", *(f"{figures['idle'][name]['connection_bytes']:,}" for name in names)],
        ["started and answering, ms", *(short(figures["idle"][name]["start_ms"]) for name in names)],
    ]
    if "churn" in figures:
        beyond = [f"{figures['churn'][name]['bytes_beyond_stored'] / 2**20:.1f}" for name in names]
        rows.append(["after churn, MiB beyond what is stored", *beyond])
    fresh = figures["fresh_store"]
    text = (
        f"A fresh store in a Python process opens in {fresh['open_us']:.0f} µs and holds "
        f"{fresh['resident_bytes']:,} bytes, {fresh['with_a_key_bytes']:,} with its first key."
    )
    return table(["", *(titled(name, figures["versions"]) for name in names)], rows) + f"\n\n{text}"


def longwork_table(figures: dict[str, Any]) -> str:
    rows = []
    for row in figures["rows"]:
        event = sorted(row["event_ms"])[len(row["event_ms"]) // 2]
        before, during = row["before_us"], row["during_us"]
        cells = [f"{row['what']}, {TITLES[row['server']]}", short(event)]
        cells += [short(before["p99.9"] / 1000), short(before["max"] / 1000)]
        rows.append(cells + [short(during[share] / 1000) for share in ("p50", "p99", "p99.9", "max")])
    return table(["ms", "event", "p99.9 before", "max before", "p50", "p99", "p99.9", "max"], rows)


def plain_rows(rows: Any) -> list[dict[str, str]]:
    """Rows of the C benchmarks as text: what is neither a word nor a number is left to the JSON."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return []
    names = [name for name, value in rows[0].items() if isinstance(value, str | int | float)] if rows else []

    def cell(value: object) -> str:
        return short(value) if isinstance(value, int | float) else str(value)

    return [{name: cell(row.get(name, "")) for name in names} for row in rows]


def churn_table(figures: dict[str, Any]) -> str:
    steps = list(figures["rows"][0]["waste"])
    rows = [
        [row["trace"], row["allocator"], *(f"{row['waste'][step]:.1%}" for step in steps)] for row in figures["rows"]
    ]
    return table(["bytes", "allocator", *steps], rows)


def goal_table(folder: Path) -> str:
    """Goal by goal what was reached, in the words of the goals."""
    saved = {part: found["figures"] for part in goals.GOALS if (found := load(folder, part))}
    rows = [goal.cells() for goal in goals.of(saved)]
    met = sum(row[-1] == "yes" for row in rows)
    return f"{met} of {len(rows)} are met.\n\n" + table(["", "goal", "reached", "met"], rows) if rows else ""


def sections(folder: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """name: (saved file, Markdown without its title)"""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    if saved := load(folder, "server"):
        figures = saved["figures"]
        parts = []
        for size in dict.fromkeys(row["size"] for row in figures["rows"]):
            keys = next(row["keys"] for row in figures["rows"] if row["size"] == size)
            parts += [f"### Values of {size:,} bytes, {keys:,} keys", server_table(figures, size)]
            parts += [ratio_table(figures, size, base) for base in ("valkey", "redis")]
            parts += [f"![{size} bytes](server-{size}.svg)"]
        found["Servers: 64 clients"] = (saved, "\n\n".join(filter(None, parts)))
    if saved := load(folder, "embedded"):
        figures = saved["figures"]
        loop = figures["get_and_set"]["loop_ns"]
        notes = [
            f"- {name}: {row['note']}" for name, row in figures["get_and_set"]["subjects"].items() if "note" in row
        ]
        rounds, statement = figures["get_and_set"]["rounds"], figures["get_and_set"]["dict_store_statement_ns"]
        text = (
            f"Medians of {rounds} rounds, without the {loop} ns of the loop itself; spread is the range of the "
            f"rounds by their median. The statement `store[key] = value` instead of a bound method takes dict "
            f"{statement} ns.\n\n"
        ) + "\n".join(notes)
        pictures = "\n\n".join(
            f"![{name}]({name})" for name in ("embedded.svg", "embedded-commands.svg") if (folder / name).exists()
        )
        parts = [embedded_table(figures), text, command_table(figures), pictures]
        found["In the process"] = (saved, "\n\n".join(parts))
    if saved := load(folder, "memory"):
        figures = saved["figures"]
        parts = [memory_table(figures), idle_text(figures), "![memory](memory.svg)"]
        found["Memory"] = (saved, "\n\n".join(filter(None, parts)))
    if saved := load(folder, "longwork"):
        text = (
            f"{saved['figures']['rate_per_s']:,} small GETs and SETs a second of other keys; waits are counted from "
            "when each was due, from the event's beginning to its end, at least a second."
        )
        names = dict.fromkeys(row["case"] for row in saved["figures"]["rows"])
        pictures = "\n\n".join(f"![{name}](longwork-{name}.svg)" for name in names)
        found["Long work"] = (saved, "\n\n".join([text, longwork_table(saved["figures"]), pictures]))
    for name, title in PLAIN.items():
        saved = load(folder, name)
        if saved and (rows := plain_rows(saved["figures"].get("rows"))):
            picture = f"\n\n![{name}]({name}.svg)" if (folder / f"{name}.svg").exists() else ""
            found[title] = (saved, table(list(rows[0]), [list(row.values()) for row in rows]) + picture)
    if saved := load(folder, "churn"):
        found["Waste after churn"] = (saved, churn_table(saved["figures"]) + "\n\n![churn](churn.svg)")
    if saved := load(folder, "hugepages"):
        figures = saved["figures"]
        text = "Huge pages save " + ", ".join(
            f"{gain:.0%} of a random {call.upper()}" for call, gain in figures["gain"].items()
        )
        found["Huge pages"] = (
            saved,
            f"{text}. The kernel offers: {figures['offered']}.\n\n![huge pages](hugepages.svg)",
        )
    if saved := load(folder, "threads"):
        text = server_table({"versions": {}, **saved["figures"]}, 32)
        found["Network threads"] = (saved, text + "\n\n![threads](threads.svg)")
    if saved := load(folder, "locks"):
        names_ = list(saved["figures"]["locks"])
        columns = list(saved["figures"]["locks"][names_[0]])
        rows = [[name, *(short(saved["figures"]["locks"][name][column]) for column in columns)] for name in names_]
        found["Locks"] = (saved, table(["ns an operation", *columns], rows) + "\n\n![locks](locks.svg)")
    return found


def headline(folder: Path) -> str:
    """What the project's README shows."""
    parts = []
    if saved := load(folder, "server"):
        parts.append(
            "A server's side, 64 clients, one million keys, values of 32 bytes; CPU is the server's own, an operation. "
            "The best of a row is bold."
        )
        parts.append(server_table(saved["figures"], 32))
        parts.append("![throughput, p99 and CPU](benchmarks/results/server-32.svg)")
        parts.append(f"Measured with {measured(saved)}")
    if saved := load(folder, "embedded"):
        rows = saved["figures"]["get_and_set"]["subjects"]
        cells = [[name, *(short(row[what]["ns"]) for what in ("get", "set"))] for name, row in rows.items()]
        parts.append(f"In the process, one Python thread, {rows['kvcore']['keys']:,} keys; ns a call:")
        parts.append(table(["", "get", "set"], cells))
    if saved := load(folder, "memory"):
        mean = saved["figures"]["geometric_mean"].get("valkey")
        if mean:
            parts.append(f"Resident memory, the geometric mean over eight shapes of data: {mean:.2f} of Valkey's.")
    parts.append(
        "Everything else (other value sizes, commands, memory, long work), with the commit and the commands, is in "
        "[benchmarks/results](benchmarks/results/README.md). `make bench` measures it again, `make bench-quick` does "
        "in two minutes, and `kvcore bench` measures [your own workload](docs/bench.md)."
    )
    return "\n\n".join(parts)


def replace_between(text: str, inside: str) -> str:
    """The text with what stands between the markers replaced."""
    pattern = re.compile(f"({re.escape(BEGIN)}\n).*?({re.escape(END)})", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"report: README.md has no {BEGIN} ... {END}")
    return pattern.sub(lambda found: f"{found.group(1)}\n{inside}\n\n{found.group(2)}", text)


def run(settings: Settings) -> None:
    folder = settings.results
    made = sections(folder)
    if not made:
        raise SystemExit(f"report: no figures under {folder.name}")
    lines = ["# Benchmarks", "Written by `python benchmarks/run.py report` from the JSON files beside this one."]
    lines += list(filter(None, ["## Goals", goal_table(folder)]))
    for title, (saved, text) in made.items():
        lines += [f"## {title}", text, f"Measured with {measured(saved)}"]
    (folder / "README.md").write_text("\n\n".join(lines) + "\n")
    say(f"wrote {folder.name}/README.md: {', '.join(made)}")
    if folder == RESULTS:
        path = ROOT / "README.md"
        path.write_text(replace_between(path.read_text(), headline(folder)))
        say("wrote the performance section of README.md")
