"""Sends codes through Kavenegar. Facts: https://kavenegar.com/rest.html."""
