"""What Leadline's tests stand on: real servers, a local model server, and a proxy that fails on demand."""
