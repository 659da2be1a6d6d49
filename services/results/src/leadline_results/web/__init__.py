"""What the routes of runs and workflows share: pagination and polling."""
