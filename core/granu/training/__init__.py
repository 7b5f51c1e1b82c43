"""Training of classifiers: a defense says what one step's loss is, and the one training loop does everything else."""
