"""The atlas: exact bias and deviation of every estimator over sharpness, latents, objectives and evaluations of f."""
