"""noonchi: train, look into and ship image classifiers."""
