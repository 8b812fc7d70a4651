"""Prints a page as PDF, with fonts of its own and without asking for anything outside of the page."""

import base64
import logging
from pathlib import Path
from typing import Any

from fedvoxel.errors import ConfigError

_FONTS = (("DejaVuSans.ttf", "normal"), ("DejaVuSans-Bold.ttf", "bold"))


def check_paper() -> None:
    """Does nothing where a PDF can be made.

    Raises:
        ConfigError: WeasyPrint, or the libraries of the system that it needs, are not installed.
    """
    try:
        from PIL import ImageFile

        strict = not ImageFile.LOAD_TRUNCATED_IMAGES
        import weasyprint  # noqa: F401 - loads the libraries
    except (ImportError, OSError):
        raise ConfigError(
            "the PDF needs WeasyPrint (pip install '.[report]') and Pango (Debian: libpango-1.0-0, "
            "libpangoft2-1.0-0); or go without it: --no-pdf"
        ) from None
    if strict:
        # It has Pillow fill up damaged images for the whole process, and Pillow decodes JPEG 2000 in DICOM, too.
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def pdf_of(html: str) -> bytes:
    """Returns a page as PDF.

    Raises:
        ConfigError: See `check_paper`.
    """
    check_paper()
    from weasyprint import CSS, HTML
    from weasyprint.text.fonts import FontConfiguration
    from weasyprint.urls import URLFetcher

    # It tells of every rule that it does not know, such as those for dark screens.
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    fonts, fetcher = FontConfiguration(), URLFetcher(allowed_protocols=("data",))
    style = CSS(string=_font_rules(), font_config=fonts, url_fetcher=fetcher)
    document: Any = HTML(string=html, url_fetcher=fetcher)
    content: bytes = document.write_pdf(stylesheets=[style], font_config=fonts)
    return content


def _font_rules() -> str:
    """Returns rules that bring the fonts which come with matplotlib: a machine may have none."""
    from matplotlib import get_data_path

    folder = Path(get_data_path()) / "fonts" / "ttf"
    rules = []
    for name, weight in _FONTS:
        content = base64.b64encode((folder / name).read_bytes()).decode("ascii")
        source = f"url(data:font/ttf;base64,{content})"
        rules.append(f'@font-face {{ font-family: "DejaVu Sans"; font-weight: {weight}; src: {source}; }}')
    return "\n".join(rules) + '\nbody { font-family: "DejaVu Sans"; }'
