"""How cost grows: seconds and memory against draws, batch, latents, seeds, samples and cells, with fitted exponents.

`python -m bench.studies.scaling DIR` measures, and writes scaling.json, the tables and the figures; `--redraw` makes
the tables and figures of a scaling.json again. Timing decides no test: the exponents are published, and read.
"""
