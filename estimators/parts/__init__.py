"""What several methods share: baselines, networks, couplings, expansions; each file says what it is."""
