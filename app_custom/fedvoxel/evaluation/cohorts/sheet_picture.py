"""Draws a contact sheet as pictures for those who want to print or leaf through: tiles on pages, PNG."""

import base64
import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fedvoxel.evaluation.cohorts.case_card import CaseCard
from fedvoxel.evaluation.cohorts.case_words import shape_words, spacing_words, volume_words
from fedvoxel.evaluation.cohorts.contact_sheet import ContactSheet
from fedvoxel.evaluation.cohorts.tile_layout import Place, curve_points, place_views, row_height, whole_level
from fedvoxel.evaluation.figures import CLASS_COLOURS

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

COLUMNS, ROWS = 3, 5
"""Tiles on a page."""

_TILE = (720, 400)
_VIEWS = (700, 262)
_CURVES = (250, 58)
_MARGIN, _HEAD = 24, 96
_INK, _SOFT, _LINE, _WARN = "#1b2733", "#55636f", "#d5dce2", "#a83200"


def sheet_pictures(sheet: ContactSheet) -> Iterator[bytes]:
    """Yields the pages as PNG, each with up to `COLUMNS` x `ROWS` tiles; none if there is no card."""
    size = COLUMNS * ROWS
    pages = -(-len(sheet.cards) // size)
    for page in range(pages):
        yield _page(sheet, sheet.cards[page * size : (page + 1) * size], f"page {page + 1} of {pages}")


def _page(sheet: ContactSheet, cards: tuple[CaseCard, ...], number: str) -> bytes:
    from PIL import Image, ImageDraw

    columns, rows = min(COLUMNS, len(cards)), -(-len(cards) // COLUMNS)
    width = 2 * _MARGIN + max(columns, 2) * _TILE[0]
    picture = Image.new("RGB", (width, _HEAD + rows * _TILE[1] + _MARGIN), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((_MARGIN, 16), f"{sheet.cohort}: {len(sheet.cards)} cases, {number}", _INK, font=_font(26, bold=True))
    draw.text((_MARGIN, 54), "Pictures of patients: they stay in the hospital.", _WARN, font=_font(18))
    _legend(draw, sheet, width - _MARGIN)
    for place, card in enumerate(cards):
        corner = _MARGIN + place % COLUMNS * _TILE[0], _HEAD + place // COLUMNS * _TILE[1]
        _tile(picture, card, corner, sheet.cautions[card.case])
    stream = io.BytesIO()
    picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(stream, format="PNG")
    return stream.getvalue()


def _legend(draw: "ImageDraw", sheet: ContactSheet, right: int) -> None:
    for place, name in reversed(list(enumerate(sheet.classes))):
        right -= round(draw.textlength(name, _font(18))) + 44
        draw.rectangle((right, 57, right + 16, 73), _colour(place), outline=_SOFT)
        draw.text((right + 24, 54), name, _INK, font=_font(18))


def _tile(picture: "Image", card: CaseCard, corner: tuple[int, int], said: tuple[str, ...]) -> None:
    from PIL import ImageDraw

    left, top = corner
    draw = ImageDraw.Draw(picture)
    title = f"{card.case}  {card.split}"
    draw.text((left, top), title, _INK, font=_font(15, bold=True))
    size = f"{shape_words(card)} voxels of {spacing_words(card)} mm"
    draw.text((left + _VIEWS[0], top), size, _SOFT, font=_font(14), anchor="ra")
    draw.rectangle((left, top + 22, left + _VIEWS[0], top + 22 + _VIEWS[1]), "black")
    places = place_views(card.views, *_VIEWS)
    down = round(top + 22 + (_VIEWS[1] - row_height(places)) / 2)
    for place in places:
        _view(picture, place, (left + round(place.left), down + round(place.top)))
    _below(draw, card, (left, top + 22 + _VIEWS[1] + 8), said)


def _view(picture: "Image", place: Place, corner: tuple[int, int]) -> None:
    from PIL import Image, ImageDraw

    view, size = place.view, (max(round(place.width), 1), max(round(place.height), 1))
    with Image.open(io.BytesIO(base64.b64decode(view.webp))) as grey:
        shown = grey.convert("RGB").resize((2 * size[0], 2 * size[1]), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(shown)
    across, down = 2 * size[0] / view.columns, 2 * size[1] / view.rows
    for index, rings in enumerate(view.outlines):
        for ring in rings:
            line = [(x * across, y * down) for x, y in ring]
            draw.line([*line, line[0], line[1]] if len(line) > 1 else line, _colour(index), 3, joint="curve")
    if view.frame is not None:
        x_low, y_low, x_high, y_high = view.frame
        draw.rectangle((x_low * across, y_low * down, x_high * across, y_high * down), outline="white", width=2)
    # Drawn at twice the size, so that lines have soft edges.
    picture.paste(shown.resize(size, Image.Resampling.BOX), corner)
    _sides(ImageDraw.Draw(picture), place, corner, size)


def _sides(draw: "ImageDraw", place: Place, corner: tuple[int, int], size: tuple[int, int]) -> None:
    (left, top), (width, height), sides = corner, size, place.view.sides
    marks = [(left + 9, top + height // 2, sides[0]), (left + width - 9, top + height // 2, sides[1])]
    if place.view.frame is None:
        marks += [(left + width // 2, top + 10, sides[2]), (left + width // 2, top + height - 10, sides[3])]
    for x, y, side in marks:
        draw.text((x, y), side, "white", font=_font(13, bold=True), anchor="mm", stroke_width=2, stroke_fill="black")


def _below(draw: "ImageDraw", card: CaseCard, corner: tuple[int, int], said: tuple[str, ...]) -> None:
    left, top = corner
    for place, mark in enumerate(card.marks[:3]):
        draw.rectangle((left, top + 3 + 20 * place, left + 12, top + 15 + 20 * place), _colour(place), outline=_SOFT)
        text = f"{mark.name}  {volume_words(mark.millilitres)} mL"
        draw.text((left + 20, top + 20 * place), _cut(draw, text, 400), _INK, font=_font(14))
    if said:
        more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        draw.text((left, top + 64), _cut(draw, said[0], 560) + more, _WARN, font=_font(13))
    width, height = _CURVES
    shift = left + _VIEWS[0] - width
    whole = curve_points(card.curves.whole, whole_level(card.curves.whole), _CURVES)
    draw.polygon([(shift + x, top + y) for x, y in [(0.0, height), *whole, (width, height)]], fill="#c3ccd3")
    for place, shares in enumerate(card.curves.classes):
        if any(shares):
            line = [(shift + x, top + y) for x, y in curve_points(shares, max(shares), _CURVES)]
            draw.line(line, _colour(place), 2, joint="curve")
    draw.line((shift, top + height, shift + width, top + height), _SOFT)


def _cut(draw: "ImageDraw", text: str, width: int) -> str:
    """Returns the text, shortened with an ellipsis where it is wider than `width`."""
    while draw.textlength(text, _font(14)) > width:
        text = text[:-2] + "…"
    return text


def _colour(place: int) -> str:
    return CLASS_COLOURS[place % len(CLASS_COLOURS)]


@cache
def _font(size: int, bold: bool = False) -> "FreeTypeFont":
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
