"""Whether the intervals and comparisons of the suite keep what they promise: coverage and false sentences, measured."""
