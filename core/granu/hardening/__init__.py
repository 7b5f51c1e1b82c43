"""Hardening: training against the changes at which a classifier is weakest, measured before and after."""
