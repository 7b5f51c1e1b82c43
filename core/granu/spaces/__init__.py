"""Spaces of changes: pixels, and the sites of generators."""
