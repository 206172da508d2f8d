"""`python -m bench` is `gradest`."""

from bench.cli import main

main()
