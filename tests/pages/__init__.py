"""The login page without a browser: brand, files, rules of numbers."""
