"""The published certificates: every registered estimator, and how often chance refutes a correct one."""
