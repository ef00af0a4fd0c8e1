"""A record of the present external behaviour, which an internal change must not alter."""
