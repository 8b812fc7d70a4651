"""What all pictures share: a figure without global state, colours that colour-blind people tell apart, PNG bytes."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Source: Okabe and Ito, Color Universal Design (2008).
TRUTH_COLOUR = "#56B4E9"
PREDICTION_COLOUR = "#E69F00"
SITE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SITE_MARKERS = ("o", "s", "^", "D", "v", "P")
# Bright enough on a scan; the blues and greens that follow differ in lightness too.
CLASS_COLOURS = ("#56B4E9", "#E69F00", "#F0E442", "#CC79A7", "#009E73", "#D55E00")
MODEL_COLOURS = {"federated": "#0072B2", "local": "#D55E00", "pooled": "#009E73"}
MODEL_MARKERS = {"federated": "o", "local": "s", "pooled": "^"}


@dataclass(frozen=True)
class Picture:
    """Holds a picture for the report.

    Attributes:
        title: Its heading.
        alt: What it shows, for those who cannot see it.
        png: Its bytes.
        shows_scan: Whether it shows, or may show, a part of a scan; the report then says to be handled like one.
    """

    title: str
    alt: str
    png: bytes
    shows_scan: bool = False


def new_figure(width_inch: float, height_inch: float) -> "Figure":
    """Returns an empty figure that draws without a display and without pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inch, height_inch), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def picture_of(figure: "Figure", title: str, alt: str, shows_scan: bool = False) -> Picture:
    """Renders `figure` as PNG; the same figure gives the same bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", facecolor="white", metadata={"Software": None})
    return Picture(title, alt, stream.getvalue(), shows_scan)
