"""Usage as figures and as bars. The server draws the bars, which need neither colours nor a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from otp_gateway.store.usage import Bucket

WIDTH, HEIGHT = 720, 200
LEFT, BOTTOM, TOP = 40, 28, 12


@dataclass(frozen=True, slots=True)
class Row:
    """One bucket in figures."""

    label: str
    sent: int
    verified: int
    failed_sends: int
    failed_verifies: int
    cost: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar in the drawing's units."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    label: str
    count: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars of sends next to bars of logins, with the texts of the axes."""

    bars: tuple[Bar, ...]
    labels: tuple[tuple[float, str], ...]
    marks: tuple[tuple[float, int], ...]
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True)
class Usage:
    """A span in figures and as a chart."""

    rows: tuple[Row, ...]
    total: Row
    reasons: tuple[tuple[str, int], ...]
    conversion: float | None
    chart: Chart


def summarise(buckets: Sequence[Bucket], label: Callable[[int], str]) -> Usage:
    """The buckets in the form for people.

    ``conversion`` is verified ÷ sent, or None before the first send. ``label`` returns the name of the bucket
    that begins at a time.
    """
    rows = tuple(_row(label(bucket.start), bucket) for bucket in buckets)
    total = Row(
        "",
        *(
            sum(getattr(row, name) for row in rows)
            for name in ("sent", "verified", "failed_sends", "failed_verifies", "cost")
        ),
    )
    reasons: dict[str, int] = {}
    for bucket in buckets:
        for name, count in bucket.counts.items():
            # Other counts are not about sends and verifies.
            if name.startswith(("sent:", "verified:")):
                reasons[name] = reasons.get(name, 0) + count
    return Usage(
        rows=rows,
        total=total,
        reasons=tuple(sorted(reasons.items(), key=lambda pair: -pair[1])),
        conversion=total.verified / total.sent if total.sent else None,
        chart=_chart(rows),
    )


def _row(label: str, bucket: Bucket) -> Row:
    def failures(kind: str) -> int:
        return sum(count for name, count in bucket.counts.items() if name.startswith(f"{kind}:"))

    counts = bucket.counts
    return Row(
        label,
        counts.get("sent", 0),
        counts.get("verified", 0),
        failures("sent"),
        failures("verified"),
        counts.get("cost", 0),
    )


def _chart(rows: Sequence[Row]) -> Chart:
    top = _ceiling(max((max(row.sent, row.verified) for row in rows), default=0))
    room = HEIGHT - BOTTOM - TOP
    step = (WIDTH - LEFT) / max(1, len(rows))
    bars, labels = [], []
    every = 1 if len(rows) <= 12 else 3 if len(rows) <= 24 else 5
    for i, row in enumerate(rows):
        x = LEFT + i * step
        for j, (kind, count) in enumerate((("sent", row.sent), ("verified", row.verified))):
            height = room * count / top
            bars.append(
                Bar(
                    x=round(x + step * (0.12 + 0.38 * j), 1),
                    y=round(TOP + room - height, 1),
                    width=round(step * 0.36, 1),
                    height=round(height, 1),
                    kind=kind,
                    label=row.label,
                    count=count,
                )
            )
        if i % every == 0:
            labels.append((round(x + step / 2, 1), row.label))
    marks = tuple((round(TOP + room * (1 - share), 1), round(top * share)) for share in (0, 0.5, 1))
    return Chart(tuple(bars), tuple(labels), marks)


def _ceiling(highest: int) -> int:
    """The next round number: 2, 4, 6, 10, 20, 40, 60, 100, …; even, so that half of it is whole."""
    scale = 1
    while True:
        for step in (2, 4, 6, 10):
            if highest <= step * scale:
                return step * scale
        scale *= 10
