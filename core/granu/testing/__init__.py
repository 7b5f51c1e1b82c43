"""For those who write plugins: the contracts that every plugin keeps, and a small world to try them in."""
