"""How the gateway treats connections, before a request reaches Flask."""
