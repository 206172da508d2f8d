"""The four tables of a report: variance, bias, ELBO and time."""
