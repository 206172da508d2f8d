"""Training: a seed's batches, one optimiser step, that step as one captured program, the bounds that are reached."""
