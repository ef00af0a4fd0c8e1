"""Real servers for the tests: Redis, Kavenegar, a proxy that loses commands, and the gateway itself."""
