"""Figures with one look, readable in print, on a phone and by colour-blind readers.

Every function draws on the Matplotlib axes it is given or on a figure of its own, and returns what
it drew on. Nothing changes Matplotlib's settings on import: :func:`use_style` does, when called.
"""

from helpers.plots.bars import bars_with_values
from helpers.plots.clients import who_holds_what
from helpers.plots.heatmap import heat_map
from helpers.plots.images import compare_images, image_grid
from helpers.plots.lines import curves, spread
from helpers.plots.server_view import server_view
from helpers.plots.speech import spoken_words
from helpers.plots.style import COLOURS, use_style

__all__ = [
    "COLOURS",
    "bars_with_values",
    "compare_images",
    "curves",
    "heat_map",
    "image_grid",
    "server_view",
    "spoken_words",
    "spread",
    "use_style",
    "who_holds_what",
]
