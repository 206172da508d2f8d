"""Suites: a TOML file (load), checked by pydantic (schema), becomes the list of cells to run (plan).

What a cell is, and which records are of the same thing, is in `identity`; it needs neither torch nor pydantic, so that
reports can read it.
"""
