"""Three runs of hand-made records of round numbers, and all that a report publishes of them.

`python -m tests.bench.golden` writes the texts in `expected/` anew; read every line of what changed before keeping it.
"""
