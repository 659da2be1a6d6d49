"""HTTP for the services that answer people: needs the `http` extra."""
