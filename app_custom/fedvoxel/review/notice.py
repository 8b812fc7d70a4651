"""A page of a few words, for who is not in: why, and where to go on. It holds no script."""

from html import escape

from fastapi.responses import HTMLResponse

NEEDED = frozenset({"/static/theme.css", "/static/notice.css", "/static/icon.svg"})
"""What the page asks for."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  {refresh}<title>{title} · FedVoxel review</title>
  <link rel="icon" href="/static/icon.svg">
  <link rel="stylesheet" href="/static/theme.css">
  <link rel="stylesheet" href="/static/notice.css">
</head>
<body>
<main>
  <h1>{title}</h1>
  <p role="status">{text}</p>
  <p><a class="button primary" href="{link}">{label}</a></p>
</main>
</body>
</html>
"""
_AT_ONCE = '<meta http-equiv="refresh" content="0; url={link}">\n  '


def notice(title: str, text: str, link: tuple[str, str], status: int = 200, goes_on: bool = False) -> HTMLResponse:
    """Returns the page.

    Args:
        title: The heading.
        text: One or two sentences.
        link: Where to go on: address and label.
        status: The HTTP status.
        goes_on: Whether the browser follows the link by itself.
    """
    refresh = _AT_ONCE.format(link=escape(link[0])) if goes_on else ""
    words = {"title": title, "text": text, "link": link[0], "label": link[1]}
    return HTMLResponse(_PAGE.format(refresh=refresh, **{key: escape(word) for key, word in words.items()}), status)
