"""Studies of this suite itself, each run by a command of tox and published in results/; none is in the wheel.

`results.py` is the format that they share: rows of measured quantities as JSON, CSV and Markdown.
"""
