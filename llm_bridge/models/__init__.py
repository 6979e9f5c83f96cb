"""Decoders of the Llama, Qwen2 and OLMo-2 families: configurations, layers, weights, and where models are found."""
