"""Pictures for training: which there are, how they are split, cached and sampled."""
