"""What a request costs: ``make bench`` prints one table. Nothing here is part of the package."""
