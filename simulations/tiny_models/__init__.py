"""How the embedded models were made, and what they can do before any fine-tuning; see docs/tiny-models.md."""
