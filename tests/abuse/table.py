"""``python -m tests.abuse.table``: makes the table of docs/ABUSE.md.

With words, only the runs whose names contain them: ``python -m tests.abuse.table campaign``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain

from tests.abuse import runs
from tests.abuse.runs import Result
from tests.support.redis_server import RedisServer

HEAD = (
    "| run | messages that the attack gets, of its requests | people who can solve: challenged, refused "
    "| people who cannot solve: refused |\n|---|---|---|---|"
)


def rows(words: str = "") -> Iterator[str]:
    """The rows of the table, each as soon as it is known."""
    with RedisServer() as server:
        for name in (*runs.ALL, *runs.LAUNDERING):
            if words in name:
                yield line(name, server)


def line(name: str, server: RedisServer) -> str:
    """One line of the table, made by its run."""
    if name in runs.ALL:
        return row(name, runs.ALL[name](server))
    messages, without, logins = runs.LAUNDERING[name](server)
    return (
        f"| {name} | {messages:,}; {without:,} without the logins: "
        f"{(messages - without) / logins:.2f} more for each of the {logins:,} logins | – | – |"
    )


def row(name: str, result: Result) -> str:
    """One line of the table."""
    attack = f"{result.messages:,} of {result.requests:,}" if result.requests else "–"
    able = [group for group in result.groups if group.solves]
    unable = [group for group in result.groups if not group.solves]
    honest = "–"
    if able:
        honest = (
            f"{result.challenged:,} ({100 * result.challenged / result.people:.1f} %), {result.refused:,} "
            f"of {result.people:,}"
        )
    others = "–"
    if unable:
        others = f"{sum(g.refused for g in unable):,} of {sum(g.people for g in unable):,}"
    return f"| {name} | {attack} | {honest} | {others} |"


if __name__ == "__main__":
    for text in chain([HEAD], rows(" ".join(sys.argv[1:]))):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
