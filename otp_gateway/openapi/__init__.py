"""The OpenAPI document: what the API offers, in words. No code here runs in a request."""
