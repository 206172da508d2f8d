"""What dropping the entropy's gradient does to training: docs/score-function.md shows what this measures."""
