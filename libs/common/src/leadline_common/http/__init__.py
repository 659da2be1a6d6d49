"""HTTP for the services with a REST API: needs the `http` extra."""
