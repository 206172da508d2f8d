"""Faults, by the thousand: runs that are killed, starved, crowded and damaged, and what became of their records.

A fault is a function of `kinds`, registered by name, that starts runs of a small suite and hurts them at instants that
a seed decides. Then the run is started again until it ends, and every record is held against those of a run that was
left alone. `python -m bench.studies.chaos OUT` does so for as long as it is told, and publishes the table.
"""
