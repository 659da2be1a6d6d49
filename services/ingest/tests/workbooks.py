"""Excel workbooks made by hand, so that a test can make any."""

import io
import zipfile
from collections.abc import Iterable, Mapping

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELS = "http://schemas.openxmlformats.org/package/2006/relationships"
_TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
STYLES = (
    f'<styleSheet xmlns="{MAIN}"><numFmts><numFmt numFmtId="164" formatCode="dd/mm/yyyy\\ hh:mm"/>'
    '<numFmt numFmtId="165" formatCode="00000"/><numFmt numFmtId="166" formatCode="[$-407]#,##0.00"/>'
    "</numFmts>"
    '<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/>'
    '<xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="165"/>'
    '<xf numFmtId="9"/><xf numFmtId="166"/><xf numFmtId="20"/></cellXfs>'
    "</styleSheet>"
)


def rows_xml(rows: Iterable[Iterable[str]]) -> str:
    """Rows of texts, all inline."""
    return "".join(
        "<row>" + "".join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in row) + "</row>"
        for row in rows
    )


def workbook(
    sheets: Mapping[str, str | list[str]],
    strings: str | list[str] = "",
    *,
    hidden: str = "",
    more: str = "",
) -> bytes:
    """A workbook of sheets, each the XML of its rows, and the XML of its strings."""
    names = [*sheets]
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}" state="{_state(name == hidden)}"/>'
        for n, name in enumerate(names, 1)
    )
    related = "".join(
        f'<Relationship Id="rId{n}" Type="{REL}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in range(1, len(names) + 1)
    )
    related += f'<Relationship Id="s" Type="{REL}/sharedStrings" Target="sharedStrings.xml"/>'
    related += f'<Relationship Id="y" Type="{REL}/styles" Target="/xl/styles.xml"/>'
    root = f'<Relationship Id="r" Type="{REL}/officeDocument" Target="xl/workbook.xml"/>'
    parts: dict[str, Iterable[str]] = {
        "[Content_Types].xml": [_TYPES],
        "_rels/.rels": [f'<Relationships xmlns="{_RELS}">{root}</Relationships>'],
        "xl/workbook.xml": [
            f'<workbook xmlns="{MAIN}" xmlns:r="{REL}">{more}<sheets>{listed}</sheets></workbook>'
        ],
        "xl/_rels/workbook.xml.rels": [f'<Relationships xmlns="{_RELS}">{related}</Relationships>'],
        "xl/styles.xml": [STYLES],
        "xl/sharedStrings.xml": [f'<sst xmlns="{MAIN}">', *strings, "</sst>"],
    }
    for n, xml in enumerate(sheets.values(), 1):
        parts[f"xl/worksheets/sheet{n}.xml"] = [
            f'<worksheet xmlns="{MAIN}"><sheetData>',
            *([xml] if isinstance(xml, str) else xml),
            "</sheetData></worksheet>",
        ]
    return zipped({name: "".join(xml).encode() for name, xml in parts.items()})


def _state(is_hidden: bool) -> str:
    return "hidden" if is_hidden else "visible"


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
