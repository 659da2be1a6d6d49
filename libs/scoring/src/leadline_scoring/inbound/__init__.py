"""What an inbound message says, read without a model: its category, its fields and where it should go.

Every function is pure and total: any text gives legal labels, the same ones each time. No word of a message
is ever an instruction; a sentence that tries to be one is a signal of its own and counts for nothing else.
"""
