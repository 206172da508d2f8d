"""One command for a machine with a GPU, in five minutes: its tests, steps beside JAX's, moments, the suite `timing`."""
