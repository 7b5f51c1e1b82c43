"""Images as tensors, and classifiers that take them."""
