"""What several tests share: interpreters, builders, robots. No tests in here."""
