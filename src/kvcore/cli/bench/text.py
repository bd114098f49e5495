"""The figures as a table, and as a chart of characters for a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from kvcore.cli.bench.histogram import Histogram

SHARES = (50.0, 90.0, 99.0, 99.9, 99.99)


def microseconds(nanoseconds: float) -> str:
    """A latency for a column: as many digits as mean anything."""
    value = nanoseconds / 1000
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def share_name(share: float) -> str:
    return f"p{share:g}"


def latency_titles() -> str:
    return "".join(f"{title:>9}" for title in ("min", *map(share_name, SHARES), "max"))


def latency_row(histogram: Histogram) -> str:
    values = [histogram.minimum or 0, *(histogram.percentile(share) for share in SHARES), histogram.maximum]
    return "".join(f"{microseconds(value):>9}" for value in values)


def supports_blocks() -> bool:
    """Can standard output show the characters that the bars are made of?"""
    try:
        "█▏".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def bar(length: float, blocks: bool) -> str:
    """`length` characters, eighths of one included."""
    whole = int(length)
    if not blocks:
        return "#" * max(round(length), 1)
    rest = int((length - whole) * 8)
    return "█" * whole + (" ▏▎▍▌▋▊▉"[rest] if rest else "") or "▏"


def chart(series: Sequence[tuple[str, Histogram]], width: int = 50, blocks: bool = True) -> str:
    """A bar for each percentile of each series; every ten times as long has the same room."""
    values = [histogram.percentile(share) for _, histogram in series for share in (*SHARES, 100.0)]
    known = [value for value in values if value > 0]
    if not known:
        return "nothing was measured"
    low = 10 ** math.floor(math.log10(min(known)))
    high = max(10 ** math.ceil(math.log10(max(known))), low * 10)
    label = max(len(name) for name, _ in series)
    lines = []
    for share in (*SHARES, 100.0):
        for index, (name, histogram) in enumerate(series):
            value = max(histogram.percentile(share), low)
            filled = bar(width * math.log10(value / low) / math.log10(high / low), blocks)
            title = ("max" if share == 100 else share_name(share)) if not index else ""
            lines.append(f"  {title:>6} {name:<{label}} {filled} {microseconds(value)}")
    lines.append(
        f"  {'':6} {'':{label}} {microseconds(low)} us at the left, {microseconds(high)} us at {width} characters"
    )
    return "\n".join(lines)
