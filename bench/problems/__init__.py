"""What gradients are estimated of: toys with exact gradients, and the shared VAE."""
