"""From a run folder to what a person reads: rows, table, signs of ill health, figures, a page."""
