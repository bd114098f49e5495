"""Charts as SVG text, without a dependency: bars in groups, lines, latency over time, latency by percentile.

Why not a library: matplotlib alone is ten times kvcore's size, and these few shapes are a few hundred lines. Every
chart is a white card of its own, so that it reads on light and on dark pages; each is valid XML with a title that
screen readers tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

PALETTE = ("#1368ce", "#e07b00", "#7a3ea8", "#2a8f3c", "#c2293d", "#5b6770", "#0e8c99", "#a0761c")
INK, SOFT, GRID, EVENT = "#1f2933", "#5b6770", "#dfe4ea", "#fde7c3"
FONT = "font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif\""


def number(value: float) -> str:
    """A figure for a label: 3 significant digits, thousands as k, millions as M."""
    size = abs(value)
    if size >= 999_500:
        return f"{value / 1e6:.3g}M"
    if size >= 9_995:
        return f"{value / 1e3:.3g}k"
    if size >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}"


def duration(microseconds: float) -> str:
    """A time for a label."""
    if microseconds >= 999_500:
        return f"{microseconds / 1e6:.3g} s"
    if microseconds >= 999.5:
        return f"{microseconds / 1e3:.3g} ms"
    return f"{microseconds:.3g} µs"


class Canvas:
    """Collects SVG elements; coordinates are pixels from the top left corner."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width, self.height = width, height
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
            f'viewBox="0 0 {width:g} {height:g}" role="img" {FONT}>',
            f"<title>{escape(title)}</title>",
            f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#ffffff"/>',
        ]

    def rect(self, x: float, y: float, width: float, height: float, fill: str, hint: str = "") -> None:
        inside = f"<title>{escape(hint)}</title>" if hint else ""
        size = f'width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
        self._parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{fill}">{inside}</rect>')

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str = GRID, width: float = 1) -> None:
        ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self._parts.append(f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>')

    def path(self, points: Iterable[tuple[float, float]], colour: str, width: float = 1.8) -> None:
        way = " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
        if way:
            style = f'fill="none" stroke="{colour}" stroke-width="{width:g}" stroke-linejoin="round"'
            self._parts.append(f'<path d="{way}" {style}/>')

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = 12,
        colour: str = INK,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}"'
        self._parts.append(f'<text {place} fill="{colour}" text-anchor="{anchor}"{weight}>{escape(words)}</text>')

    def legend(self, x: float, y: float, names: Sequence[str]) -> None:
        for index, name in enumerate(names):
            self.rect(x, y - 9, 11, 11, PALETTE[index % len(PALETTE)])
            self.text(x + 16, y + 1, name)
            x += 36 + 7.2 * len(name)

    def svg(self) -> str:
        return "\n".join([*self._parts, "</svg>\n"])


def ticks(top: float, count: int = 4) -> list[float]:
    """Round values from 0 to at least `top`."""
    if top <= 0 or not math.isfinite(top):
        return [0.0, 1.0]
    step = 10 ** math.floor(math.log10(top / count))
    while top / step > count:
        step *= 2.5 if f"{step:e}".startswith("2") else 2
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten around a range of positive values."""
    first, last = math.floor(math.log10(max(low, 1e-9))), math.ceil(math.log10(max(high, 1e-9)))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


@dataclass
class BarGroup:
    """Bars that stand together: one for each series; None is a figure that there is not."""

    name: str
    values: Sequence[float | None]


@dataclass
class BarPanel:
    title: str
    groups: Sequence[BarGroup]


def bars(title: str, series: Sequence[str], panels: Sequence[BarPanel], note: str = "", columns: int = 1) -> str:
    """Bar charts side by side, `columns` in a row, each with its own scale."""
    columns = max(1, min(columns, len(panels)))
    rows = math.ceil(len(panels) / columns)
    each_width, each_height, top = 900 / columns, 210.0, 66.0
    canvas = Canvas(900, top + rows * each_height + (26 if note else 8), title)
    canvas.text(24, 30, title, 16, bold=True)
    canvas.legend(24, 54, series)
    for index, panel in enumerate(panels):
        x = index % columns * each_width
        y = top + index // columns * each_height
        _bar_panel(canvas, panel, series, x + 58, y + 34, each_width - 78, each_height - 66)
        canvas.text(x + 24, y + 20, panel.title, 12.5, SOFT, bold=True)
    if note:
        canvas.text(24, canvas.height - 10, note, 11, SOFT)
    return canvas.svg()


def _bar_panel(
    canvas: Canvas, panel: BarPanel, series: Sequence[str], x: float, y: float, width: float, height: float
) -> None:
    known = [value for group in panel.groups for value in group.values if value is not None]
    marks = ticks(max(known, default=1.0))
    for mark in marks:
        level = y + height - height * mark / marks[-1]
        canvas.line(x, level, x + width, level)
        canvas.text(x - 6, level + 4, number(mark), 11, SOFT, "end")
    room = width / max(len(panel.groups), 1)
    for position, group in enumerate(panel.groups):
        thick = min(room * 0.8 / max(len(group.values), 1), 46)
        left = x + position * room + (room - thick * len(group.values)) / 2
        for index, value in enumerate(group.values):
            if value is not None:
                tall = height * value / marks[-1]
                hint = f"{series[index]}, {group.name}: {number(value)}"
                place = left + index * thick
                canvas.rect(place, y + height - tall, thick - 2, tall, PALETTE[index % len(PALETTE)], hint)
                if thick >= 22:
                    canvas.text(place + thick / 2 - 1, y + height - tall - 3, number(value), 9.5, SOFT, "middle")
        size = min(11.5, max(8.0, (room - 6) / max(0.56 * len(group.name), 1)))
        canvas.text(x + position * room + room / 2, y + height + 16, group.name, size, INK, "middle")
    canvas.line(x, y + height, x + width, y + height, SOFT)


@dataclass
class TimePanel:
    """Latency over time of one subject: (seconds, microseconds) points, and when the event ran."""

    name: str
    points: Sequence[tuple[float, float]]
    event: tuple[float, float] | None = None
    note: str = ""


@dataclass
class TimeChart:
    title: str
    panels: Sequence[TimePanel]
    limit_us: float | None = None  # a line to compare with
    note: str = ""
    unit: str = "time in seconds"
    event_name: str = "event"
    _height: float = field(default=190.0, init=False)

    def svg(self) -> str:
        """One panel under the other, with common scales; latency is logarithmic."""
        top, height = 44.0, self._height
        canvas = Canvas(900, top + len(self.panels) * height + 34, self.title)
        canvas.text(24, 30, self.title, 16, bold=True)
        points = [point for panel in self.panels for point in panel.points]
        events = [panel.event for panel in self.panels if panel.event]
        times = [when for when, _ in points] + [end for event in events for end in event]
        low, high = min(times, default=0.0), max(times, default=1.0)
        latencies = [max(latency, 1.0) for _, latency in points] or [1.0]
        levels = decades(min(latencies), max(*latencies, self.limit_us or 1.0))
        for index, panel in enumerate(self.panels):
            self._panel(canvas, panel, index, top + index * height, (low, max(high, low + 1e-9)), levels)
        canvas.text(480, canvas.height - 10, f"{self.unit}{'; ' + self.note if self.note else ''}", 11, SOFT, "middle")
        return canvas.svg()

    def _panel(
        self, canvas: Canvas, panel: TimePanel, index: int, top: float, span: tuple[float, float], levels: list[float]
    ) -> None:
        x, y, width, height = 74.0, top + 26, 802.0, self._height - 50

        def across(when: float) -> float:
            return x + width * (when - span[0]) / (span[1] - span[0])

        def down(latency: float) -> float:
            share = math.log10(max(latency, levels[0]) / levels[0]) / math.log10(levels[-1] / levels[0])
            return y + height * (1 - share)

        colour = PALETTE[index % len(PALETTE)]
        canvas.text(24, top + 14, panel.name, 12.5, colour, bold=True)
        canvas.text(x + width, top + 14, panel.note, 11.5, SOFT, "end")
        if panel.event:
            first, last = panel.event
            wide = max(across(last) - across(first), 2)
            canvas.rect(across(first), y, wide, height, EVENT, f"{self.event_name}: {duration((last - first) * 1e6)}")
        for level in levels:
            canvas.line(x, down(level), x + width, down(level))
            canvas.text(x - 6, down(level) + 4, duration(level), 11, SOFT, "end")
        if self.limit_us is not None and levels[0] <= self.limit_us <= levels[-1]:
            canvas.line(x, down(self.limit_us), x + width, down(self.limit_us), "#c2293d")
            canvas.text(x + width, down(self.limit_us) - 3, duration(self.limit_us), 10, "#c2293d", "end")
        canvas.path([(across(when), down(latency)) for when, latency in panel.points], colour, 1.3)
        marks = ticks(span[1] - span[0], 8)
        first_mark = math.ceil(span[0] / marks[1]) * marks[1]
        while first_mark <= span[1] + 1e-9:
            canvas.text(across(first_mark), y + height + 15, f"{first_mark:.3g}", 11, SOFT, "middle")
            first_mark += marks[1]
        canvas.line(x, y + height, x + width, y + height, SOFT)


PERCENTILES = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999)


def by_percentile(
    title: str,
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    note: str = "",
    limit_us: float | None = None,
) -> str:
    """(percentile, microseconds) lines; the axis gives every further nine of the percentile the same room."""
    canvas = Canvas(900, 420, title)
    canvas.text(24, 30, title, 16, bold=True)
    canvas.legend(24, 54, [name for name, _ in series])
    latencies = [max(value, 0.001) for _, points in series for _, value in points] or [1.0]
    levels = decades(min(latencies), max(*latencies, limit_us or 0.0))
    last = max((share for _, points in series for share, _ in points if share < 100), default=99.0)
    marks = [mark for mark in PERCENTILES if mark <= last + 1e-9] or [0.0, 50.0]
    x, y, width, height = 74.0, 78.0, 802.0, 280.0

    def nines(share: float) -> float:
        return -math.log10(max(1 - share / 100, 1e-7))

    far = max(nines(last), nines(marks[-1]), 0.3) + 0.3  # room for the maximum, which has no place on such a scale

    def down(latency: float) -> float:
        return y + height * (1 - math.log10(max(latency, levels[0]) / levels[0]) / math.log10(levels[-1] / levels[0]))

    for level in levels:
        canvas.line(x, down(level), x + width, down(level))
        canvas.text(x - 6, down(level) + 4, duration(level), 11, SOFT, "end")
    for mark in marks:
        place = x + width * nines(mark) / far
        canvas.line(place, y, place, y + height)
        canvas.text(place, y + height + 16, f"p{mark:g}" if mark else "min", 11, SOFT, "middle")
    canvas.text(x + width, y + height + 16, "max", 11, SOFT, "end")
    if limit_us is not None:
        canvas.line(x, down(limit_us), x + width, down(limit_us), "#c2293d")
        canvas.text(x + 4, down(limit_us) - 3, duration(limit_us), 10, "#c2293d")
    canvas.line(x, y + height, x + width, y + height, SOFT)
    for index, (_, points) in enumerate(series):
        way = [(x + width * (nines(share) if share < 100 else far) / far, down(value)) for share, value in points]
        canvas.path(way, PALETTE[index % len(PALETTE)], 2.2)
    if note:
        canvas.text(24, 408, note, 11, SOFT)
    return canvas.svg()


def line_chart(
    title: str,
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    across_title: str,
    up_title: str,
    note: str = "",
    log_up: bool = False,
) -> str:
    """(x, y) lines with a mark at each point; x is logarithmic and has its ticks where points are."""
    canvas = Canvas(900, 440, title)
    canvas.text(24, 30, title, 16, bold=True)
    canvas.legend(24, 54, [name for name, _ in series])
    canvas.text(24, 78, up_title, 11.5, SOFT)
    xs = sorted({at for _, points in series for at, _ in points}) or [1.0]
    ys = [value for _, points in series for _, value in points] or [1.0]
    levels = decades(min(ys), max(ys)) if log_up else ticks(max(ys))
    x, y, width, height = 74.0, 92.0, 790.0, 280.0
    span = math.log(xs[-1] / xs[0]) or 1.0

    def across(at: float) -> float:
        return x + width * math.log(at / xs[0]) / span

    def down(value: float) -> float:
        if log_up:
            share = math.log(max(value, levels[0]) / levels[0]) / math.log(levels[-1] / levels[0])
        else:
            share = value / levels[-1]
        return y + height * (1 - share)

    for level in levels:
        canvas.line(x, down(level), x + width, down(level))
        canvas.text(x - 6, down(level) + 4, number(level), 11, SOFT, "end")
    for at in xs:
        canvas.line(across(at), y, across(at), y + height)
        canvas.text(across(at), y + height + 16, number(at), 11, SOFT, "middle")
    canvas.line(x, y + height, x + width, y + height, SOFT)
    canvas.text(x + width / 2, y + height + 34, across_title, 11.5, SOFT, "middle")
    for index, (name, points) in enumerate(series):
        colour = PALETTE[index % len(PALETTE)]
        canvas.path([(across(at), down(value)) for at, value in points], colour, 2.2)
        for at, value in points:
            hint = f"{name}, {number(at)}: {number(value)}"
            canvas.rect(across(at) - 3, down(value) - 3, 6, 6, colour, hint)
    if note:
        canvas.text(24, 430, note, 11, SOFT)
    return canvas.svg()
