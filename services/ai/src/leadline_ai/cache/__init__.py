"""The answer cache: a model's answers stored under all that they depend on, so none is paid for twice."""
