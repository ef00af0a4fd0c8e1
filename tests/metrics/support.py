"""Reads a scrape as a scraper does."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from tests.api.support import Api
from tests.support.gateway import Gateway

PREFIX = "otp_gateway_"
SCRAPER = "127.0.0.1"
Labels = frozenset[tuple[str, str]]


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples: dict[tuple[str, Labels], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = (sample.name.removeprefix(PREFIX), frozenset(sample.labels.items()))
                assert key not in self.samples
                self.samples[key] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """The one sample of this name and exactly these labels; 0 if it has not been counted yet."""
        return self.samples.get((name, frozenset(labels.items())), 0.0)

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have at least these labels."""
        return sum(self.by_label(name, **labels).values())

    def by_label(self, name: str, **labels: str) -> dict[Labels, float]:
        """The samples of this name that have at least these labels."""
        wanted = labels.items()
        return {has: v for (n, has), v in self.samples.items() if n == name and wanted <= dict(has).items()}

    def has(self, name: str) -> bool:
        """Whether there is any sample of this name."""
        return any(n == name for n, _ in self.samples)

    def label_values(self) -> Iterator[str]:
        """Every value of every label, except the bounds of histograms."""
        for _, labels in self.samples:
            yield from (value for name, value in labels if name != "le")


def scrape(source: Api | Gateway) -> Scrape:
    """The metrics that a scraper on the same machine reads."""
    if isinstance(source, Gateway):
        reply = source.get("/metrics")
        assert reply.status_code == 200, reply.text
        return Scrape(reply.text)
    answer = source.get("/metrics", ip=SCRAPER)
    assert answer.status_code == 200, answer.text
    return Scrape(answer.text)


def gained(before: Scrape, after: Scrape, name: str) -> dict[Labels, float]:
    """The increase of a counter's samples between two scrapes, without those that did not change."""
    old, new = before.by_label(name), after.by_label(name)
    assert old.keys() <= new.keys()
    return {labels: new[labels] - old.get(labels, 0) for labels in new if new[labels] != old.get(labels, 0)}


def labels(**values: str) -> Labels:
    """Labels as ``Scrape`` has them."""
    return frozenset(values.items())
