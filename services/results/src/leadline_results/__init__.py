"""The results service: merges partial scores into results, tracks runs and workflows, answers queries."""
