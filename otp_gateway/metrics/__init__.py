"""The metrics of this gateway, for Prometheus."""
