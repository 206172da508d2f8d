"""One training step beside that of other libraries: the same model, batch, optimiser and number of f-evaluations.

`python -m bench.studies.peers OUT_DIR`, or `tox -e peers`, which installs them: storchastic (van Krieken, Tomczak and
ten Teije 2021, arXiv:2104.00428), Pyro (Bingham et al. 2018, arXiv:1810.09538) and JAX (Bradbury et al. 2018) with
optax. None is a dependency here.
"""
