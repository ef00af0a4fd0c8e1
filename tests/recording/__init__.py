"""The background recording: what the service reports, and what Redis then holds."""
