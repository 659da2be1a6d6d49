"""Rows of cells out of the bytes of a file, whatever it is: text in any encoding, packed, or a workbook."""
