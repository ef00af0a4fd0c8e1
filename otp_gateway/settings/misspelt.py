"""Variables whose names begin like ours but are not ours: an operator probably meant another name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

# Only this gateway uses names that begin like this. Any other such name is a mistake.
OURS = ("KAVENEGAR_", "OTP_")
# Other programs also use names that begin like this. Only a name that is nearly one of ours is a mistake.
SHARED_CUTOFF = 0.85
ANY_CUTOFF = 0.5


def misspelt(names: Iterable[str], known: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Each such name, with the name that was probably meant."""
    ours = sorted(known)
    shared = {name.partition("_")[0] + "_" for name in ours if "_" in name}
    for name in sorted(set(names) - set(ours)):
        if name.startswith(OURS):
            yield name, _nearest(name, ours, ANY_CUTOFF)
        elif name.startswith(tuple(shared)):
            meant = _nearest(name, ours, SHARED_CUTOFF)
            if meant:
                yield name, meant


def _nearest(name: str, known: list[str], cutoff: float) -> str | None:
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=cutoff)), None)
