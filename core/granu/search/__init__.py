"""Searches for a change in any space: smallest, deepfool, dunn2020, worst, random."""
