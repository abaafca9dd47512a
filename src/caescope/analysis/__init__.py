"""What latents are worth: reconstruction, probes, maps and clusters, on NumPy arrays alone."""
