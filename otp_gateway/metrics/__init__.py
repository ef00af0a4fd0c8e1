"""What Prometheus reads of this gateway."""
