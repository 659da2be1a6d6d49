"""Tools for Leadline's tests: real servers, a local model server, and a proxy that fails on demand."""
