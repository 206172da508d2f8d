"""What a person calls on a model of their own: `compare`, `examine`, and the point that they look at."""
