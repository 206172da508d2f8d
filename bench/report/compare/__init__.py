"""`gradest compare`: two runs side by side, from their records alone."""
