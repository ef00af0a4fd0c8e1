"""The login page in a real browser, against the real gateway."""
