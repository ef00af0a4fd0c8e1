"""Real collaborators for the tests: Redis, Kavenegar, a lossy proxy and the gateway itself."""
