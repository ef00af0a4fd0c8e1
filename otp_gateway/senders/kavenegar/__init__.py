"""Codes through Kavenegar. Facts: https://kavenegar.com/rest.html."""
