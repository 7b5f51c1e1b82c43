"""Training recipes of the shipped weights: `python -m granu_zoo.train NAME --data FOLDER --out FOLDER --seed N`."""
