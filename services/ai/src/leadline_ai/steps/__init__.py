"""Steps of an inbound message's workflow: answered by a language model or offline."""
