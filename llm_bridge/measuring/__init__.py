"""Pass@1, pass@k, kappa, difficulty, and the gap between sampler and trainer."""
