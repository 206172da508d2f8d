"""The published atlas: exact bias and deviation of estimators on small problems, and how to look them up."""
