"""Reading free text: words and known phrases in them."""

__version__ = "0.1.0"
