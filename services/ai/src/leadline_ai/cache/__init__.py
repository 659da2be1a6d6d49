"""The answer cache: a model's answers stored by all that they depend on, so that none is paid for twice."""
