"""StyleGAN2 as a generator whose every layer can be pushed at."""
