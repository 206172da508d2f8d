"""What the suite itself costs: importing it, and the part of a run that is no measurement."""
