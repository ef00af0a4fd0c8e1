"""Today's outward behaviour, written down: what a change of the inside must leave as it is."""
