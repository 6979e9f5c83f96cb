"""Fine-tuning: settings, the update and its loss, optimisers, checkpoints."""
