"""The cost of a request: ``make bench`` prints one table. These modules are not part of the package."""
