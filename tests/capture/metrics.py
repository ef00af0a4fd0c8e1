"""A scrape without the parts that depend on time: names, types, words, labels, and numbers of events."""

from __future__ import annotations

import re
from itertools import groupby

from prometheus_client.parser import text_string_to_metric_families

# The number of attempts of a call depends on the machine.
UNCOUNTED = ("otp_gateway_redis_errors", "otp_gateway_redis_call_duration_seconds")


def describe(text: str) -> str:
    """Families in their order, each with its samples by labels."""
    lines: list[str] = []
    for family in text_string_to_metric_families(text):
        lines.append(f"{family.name} ({family.type}): {family.documentation}")
        if family.name.endswith("_created"):
            # The same labels again, with the time.
            continue
        samples = [(s.name, {k: v for k, v in s.labels.items() if k != "le"}, s) for s in family.samples]
        for (name, labels), group in groupby(samples, key=lambda item: item[:2]):
            found = [sample for _, _, sample in group]
            shown = ", ".join(f"{k}={_masked(k, v)}" for k, v in sorted(labels.items()))
            value = ""
            if name.endswith("_bucket"):
                value = f" le {' '.join(sample.labels['le'] for sample in found)}"
            elif name.endswith(("_total", "_count")) and family.name not in UNCOUNTED:
                value = f" = {found[0].value:g}"
            lines.append(f"  {name}{{{shown}}}{value}")
    return "".join(f"{line}\n" for line in lines)


def _masked(label: str, value: str) -> str:
    return re.sub(r"\d+(\.\d+)+\S*", "<version>", value) if label in ("version", "python") else value
