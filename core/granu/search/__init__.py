"""Searches for a change in a space, independent of what the space changes: smallest, deepfool, dunn2020, worst, random."""
