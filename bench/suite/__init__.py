"""Suites: a TOML file (load), checked by pydantic (schema), becomes the list of cells to run (plan).

What a cell is to those who only read records is its `bench.records.identity.Identity`, which needs no torch.
"""
