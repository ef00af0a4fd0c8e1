"""The HTTP interface: parses requests, calls the service, and makes the replies."""
