"""Plugins: specs, options, offers, hooks, discovery, the catalog and the context that builders get."""
