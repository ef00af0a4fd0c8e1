"""The background recording: the events of the service, and the records in Redis."""
