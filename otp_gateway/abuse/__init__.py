"""Defences of the operator's money and of users under attack."""
