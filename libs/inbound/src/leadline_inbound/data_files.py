"""The tables that this package reads by."""

from importlib.resources import files


def read_data(name: str) -> str:
    """Return the text of a file in the package's folder `data`."""
    return files("leadline_inbound").joinpath("data", name).read_text(encoding="utf-8")
