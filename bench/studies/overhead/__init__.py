"""What the suite itself costs: importing it, the part of a run that is no measurement, and a long report."""
