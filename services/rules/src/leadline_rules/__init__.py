"""The rules service: scores chunks of leads with pure functions over data files."""
