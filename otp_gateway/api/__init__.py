"""HTTP in: parse, call the service, dump."""
