"""Recipes that anyone can run: `python -m granu_zoo.train NAME --data FOLDER --out FOLDER --seed N`."""
