"""Chunks of leads: judged by a language model or offline, answered in one message a chunk."""
