"""Settings of `finetune`, `evaluate` and `measure`: frozen dataclasses that make options, help and config.json."""
