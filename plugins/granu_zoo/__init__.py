"""The small trained networks that come with granu, and the recipes that made them."""
