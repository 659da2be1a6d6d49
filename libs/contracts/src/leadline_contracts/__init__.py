"""Messages, their queues and the errors of Leadline."""
