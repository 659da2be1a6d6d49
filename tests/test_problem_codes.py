"""The codes of problems: public, so each stands on the page about the API, and no other does."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from leadline_common.http import problems
from leadline_contracts.errors import code_of

ROOT = Path(__file__).parents[1]
TITLE_AT = {
    "Problem": 1,
    **dict.fromkeys(["Conflict", "Invalid", "NotAuthenticated", "TooMany", "Overloaded"], 0),
}
"""Where the title stands among the arguments of what is raised."""


def titles() -> Iterator[str]:
    """Yield the title of each problem that the source makes, also where it comes from a table of them."""
    for path in ROOT.glob("*/*/src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name in TITLE_AT:
                title = node.args[TITLE_AT[name]]
                if isinstance(title, ast.Constant):
                    yield str(title.value)
                else:
                    assert path.name == "problems.py", f"{path}:{node.lineno}: write the title out"
    yield from problems.TITLES.values()
    yield problems.OTHER_TITLE
    for refusal in re.findall(r"return \d+ '(\{.*\})'", (ROOT / "deploy/gateway/nginx.conf").read_text()):
        body = json.loads(refusal)
        assert body["code"] == code_of(body["title"])
        assert body["type"] == f"urn:leadline:problem:{body['code']}"
        yield body["title"]


def test_every_code_is_told_and_no_other() -> None:
    """Who writes a client finds each code that can come, and a code is not changed by rewording a title."""
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    table = page.partition("| code | status |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(set(map(code_of, titles())))
