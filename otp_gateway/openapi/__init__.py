"""The OpenAPI document, which describes the API. No code here runs in a request, except for the document."""
