"""The version of the gateway and of its interface (semver)."""

__version__ = "0.2.0"
