# -*- test-case-name: tests.benchmarks.test_plot -*-
"""
A plot in SVG: what a call costs as things grow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, log10
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.growth import Series
from benchmarks.report import figure

WIDTH: Final = 420
HEIGHT: Final = 260
LEFT, RIGHT, TOP, BOTTOM = 56, 18, 42, 40
COLOURS: Final = {"server": "#1f5fa8", "client": "#c05a1c"}


def svg(series: Sequence[Series]) -> str:
    """
    @return: a panel for each series, two in a row: the logarithm of what grows
        from left to right, CPU upwards, from 0.
    """
    rows = ceil(len(series) / 2)
    size = f'width="{2 * WIDTH}" height="{rows * HEIGHT}"'
    font = 'font-family="sans-serif" font-size="11"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for index, each in enumerate(series):
        x, y = index % 2 * WIDTH, index // 2 * HEIGHT
        lines += [f'<g transform="translate({x},{y})">', *_panel(each), "</g>"]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _panel(series: Series) -> Iterator[str]:
    counts = [count for count, _, _ in series.points]
    top = 1.15 * max(max(one, other) for _, one, other in series.points)
    first = log10(counts[0])
    span = (log10(counts[-1]) - first) or 1.0

    def across(count: int) -> float:
        return LEFT + (log10(count) - first) / span * (WIDTH - LEFT - RIGHT)

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    yield f'<text x="{LEFT}" y="16" font-weight="bold">{escape(series.title)}</text>'
    for number, (end, colour) in enumerate(COLOURS.items()):
        text = f"{end}, {series.unit}"
        yield (
            f'<text x="{LEFT + number * 170}" y="31" fill="{colour}">{escape(text)}</text>'
        )
    for step in range(5):
        value = top / 4 * step
        yield (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(value):.1f}"'
            f' y2="{up(value):.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{up(value) + 4:.1f}" text-anchor="end">'
            f"{figure(value)}</text>"
        )
    for count in counts:
        yield (
            f'<text x="{across(count):.1f}" y="{HEIGHT - BOTTOM + 16}"'
            f' text-anchor="middle">{count:,}</text>'
        )
    for position, colour in enumerate(COLOURS.values(), 1):
        places = [(across(point[0]), up(point[position])) for point in series.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for x, y in places:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
