"""Reading free text: its words, the known phrases in them, and short forms to show."""
