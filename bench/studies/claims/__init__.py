"""Published sentences with a number, each held against the table that its number comes from.

`results/claims/*.toml` is written by a person: a claim is a sentence with places for its numbers, the file that it
stands in, and for each number a table, a selection of rows and a column; an exception is a number that nobody measured,
with its kind. `results/claims.csv` lists all of them with the values found.
"""
