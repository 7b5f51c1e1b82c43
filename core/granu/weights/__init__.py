"""Weight files: where they lie, whether they are intact, strict loading; nothing in them is run."""
