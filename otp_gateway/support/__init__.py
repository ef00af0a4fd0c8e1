"""Texts for support staff, in two languages, for the panel and the commands."""
