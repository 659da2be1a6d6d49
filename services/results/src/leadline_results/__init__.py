"""The results service: merges partial scores into results, follows runs, answers queries."""
