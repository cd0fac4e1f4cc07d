"""Part II: attention from distances between coordinates and the masses of tokens."""
