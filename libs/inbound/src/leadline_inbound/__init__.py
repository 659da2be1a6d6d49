"""What an inbound message says, in five languages: its category, its fields, who answers how soon."""
