import subprocess
import sys

import matplotlib
import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
import pytest
from skimage.color import rgb2lab

from helpers import plots
from helpers.plots.style import line_look

# Machado, Oliveira and Fernandes (2009), severity 1.0: what each kind of dichromat sees, on
# linear RGB.
DICHROMACY = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
}  # fmt: skip


def seen_by(kind: str) -> np.ndarray:
    rgb = np.array([matplotlib.colors.to_rgb(colour) for colour in plots.COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(DICHROMACY[kind]).T, 0, 1)
    return np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)


def test_importing_plots_changes_no_matplotlib_setting() -> None:
    code = (
        "import matplotlib, matplotlib.pyplot; before = dict(matplotlib.rcParams);"
        "import helpers.plots; assert dict(matplotlib.rcParams) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_does_not_load_matplotlib() -> None:
    code = "import sys, helpers; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_style_paints_figures_white_and_sets_readable_text() -> None:
    plots.use_style()
    assert matplotlib.rcParams["figure.facecolor"] == "white"
    assert matplotlib.rcParams["savefig.facecolor"] == "white"
    assert matplotlib.rcParams["font.size"] >= 12
    figure, ax = plt.subplots()
    assert figure.get_facecolor() == (1.0, 1.0, 1.0, 1.0)
    assert ax.plot([0, 1])[0].get_color() == plots.COLOURS[0]


def test_any_twenty_eight_lines_differ_without_their_colour() -> None:
    looks = [line_look(index) for index in range(28)]
    assert len({(look["marker"], look["linestyle"]) for look in looks}) == 28


@pytest.mark.parametrize("kind", sorted(DICHROMACY))
def test_colours_stay_apart_for_dichromats(kind: str) -> None:
    lab = rgb2lab(seen_by(kind)[None])[0]
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    # 2.3 in CIELAB is the just noticeable difference (Sharma 2003); ask for several of them.
    assert distances[np.triu_indices(len(lab), 1)].min() > 4 * 2.3
