#!/usr/bin/python3
"""Draws axes.svg: which elements of an (N, C, H, W) tensor share one mean, and where they lie in memory.

    python3 docs/img/axes.py        (Debian: apt install python3-matplotlib)

Each panel shows a small tensor of 3 samples, 3 channels and 4 places twice: as a block of cells, and as the row of
cells that it is in memory. The cells of one group are coloured. The view below the row is computed, not typed.
"""

import pathlib

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch, Polygon, Rectangle

SAMPLES, CHANNELS, PLACES = 3, 3, 4  # N, C, H * W: slow to fast in memory
DEPTH = (0.46, 0.40)  # one step along N, in cells to the right and up

INK, MUTED, LINE, PAPER, EDGE = "#1f2328", "#57606a", "#8c959f", "#ffffff", "#d0d7de"
PLAIN = {"front": "#e6ebf0", "top": "#f1f4f7", "side": "#d5dce3"}
BLUE = {"front": "#4393d8", "top": "#7ab6e8", "side": "#2f74b3"}
ORANGE = {"front": "#f0974a", "top": "#f7b880", "side": "#cf7529"}

PANELS = [
    {
        "title": "BatchNorm",
        "use": "BatchNorm2d<float>(C)",
        "says": "one mean for each channel,\nover samples and places",
        "reduced": (True, False, True),
        "colours": BLUE,
        "group": lambda n, c, p: c == 0,
    },
    {
        "title": "LayerNorm over an image",
        "use": "LayerNorm<float, 3>({C, H, W})",
        "says": "one mean for each sample,\nover channels and places",
        "reduced": (False, True, True),
        "colours": ORANGE,
        "group": lambda n, c, p: n == 0,
    },
    {
        "title": "LayerNorm over channels",
        "use": "LayerNorm<float>(C, {.axis = 1})",
        "says": "one mean for each sample\nand place, over channels",
        "reduced": (False, True, False),
        "colours": ORANGE,
        "group": lambda n, c, p: n == 0 and p == 3,
    },
]


def view(reduced):
    """{slabs, outer, kept, inner} as make_view in stat_view.hpp finds it; the extents here are all above 1."""
    extents, at = [1, 1, 1, 1], 0  # inner, kept, outer, slabs: reduced at even places
    for extent, is_reduced in zip((PLACES, CHANNELS, SAMPLES), reversed(reduced)):
        if is_reduced != (at % 2 == 0):
            at += 1
        extents[at] *= extent
    inner, kept, outer, slabs = extents
    if kept == 1:
        inner, outer = inner * outer, 1
    if outer == 1:
        kept, slabs = kept * slabs, 1
    return slabs, outer, kept, inner


def cell(axes, corners, colour):
    axes.add_patch(Polygon(corners, closed=True, facecolor=colour, edgecolor=PAPER, linewidth=1.1, joinstyle="round"))


def draw_block(axes, panel, left, bottom):
    """Places to the right, channels downwards, samples into the depth."""
    dx, dy = DEPTH
    shade = lambda face, n, c, p: (panel["colours"] if panel["group"](n, c, p) else PLAIN)[face]
    for c in range(CHANNELS):
        for p in range(PLACES):
            x, y = left + p, bottom + CHANNELS - 1 - c
            cell(axes, [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)], shade("front", 0, c, p))
    for n in range(SAMPLES):
        for p in range(PLACES):
            x, y = left + p + n * dx, bottom + CHANNELS + n * dy
            cell(axes, [(x, y), (x + 1, y), (x + 1 + dx, y + dy), (x + dx, y + dy)], shade("top", n, 0, p))
        for c in range(CHANNELS):
            x, y = left + PLACES + n * dx, bottom + CHANNELS - 1 - c + n * dy
            corners = [(x, y), (x + dx, y + dy), (x + dx, y + dy + 1), (x, y + 1)]
            cell(axes, corners, shade("side", n, c, PLACES - 1))


def arrow(axes, start, end):
    style = {"arrowstyle": "-|>,head_width=0.18,head_length=0.36", "color": LINE, "linewidth": 1.1}
    axes.annotate("", end, start, arrowprops={**style, "shrinkA": 0, "shrinkB": 0})


def draw_axes(axes, left, bottom):
    dx, dy = DEPTH
    arrow(axes, (left, bottom - 0.26), (left + PLACES, bottom - 0.26))
    label = {"fontsize": 11, "color": MUTED}
    axes.text(left + PLACES / 2, bottom - 0.42, "H, W", ha="center", va="top", **label)
    arrow(axes, (left - 0.26, bottom + CHANNELS), (left - 0.26, bottom))
    axes.text(left - 0.42, bottom + CHANNELS / 2, "C", ha="right", va="center", **label)
    x, y = left - 0.16, bottom + CHANNELS + 0.16
    arrow(axes, (x, y), (x + SAMPLES * dx, y + SAMPLES * dy))
    axes.text(x + SAMPLES * dx / 2 - 0.16, y + SAMPLES * dy / 2 + 0.12, "N", ha="right", va="bottom", **label)


def draw_memory(axes, panel, left, bottom, width):
    cells = SAMPLES * CHANNELS * PLACES
    step = width / cells
    for at in range(cells):
        n, c, p = at // (CHANNELS * PLACES), at // PLACES % CHANNELS, at % PLACES
        colour = (panel["colours"] if panel["group"](n, c, p) else PLAIN)["front"]
        place = (left + at * step, bottom)
        axes.add_patch(Rectangle(place, step, 0.46, facecolor=colour, edgecolor=PAPER, linewidth=0.8))
    for n in range(1, SAMPLES):  # where a sample ends
        x = left + n * CHANNELS * PLACES * step
        axes.plot([x, x], [bottom - 0.1, bottom + 0.56], color=LINE, linewidth=1.0, solid_capstyle="butt")


def draw_panel(axes, panel, left):
    width = 6.3
    middle = left + width / 2
    axes.text(middle, 10.45, panel["title"], ha="center", va="center", fontsize=15, weight="bold", color=INK)
    code = {"va": "center", "family": "DejaVu Sans Mono", "color": MUTED}
    axes.text(middle, 9.85, panel["use"], ha="center", fontsize=10.5, **code)
    block = left + (width - PLACES - SAMPLES * DEPTH[0]) / 2 + 0.1
    draw_block(axes, panel, block, 4.9)
    draw_axes(axes, block, 4.9)
    axes.text(middle, 3.55, panel["says"], ha="center", va="center", fontsize=11.5, color=INK, linespacing=1.35)
    draw_memory(axes, panel, left, 2.05, width)
    slabs, outer, kept, inner = view(panel["reduced"])
    axes.text(left, 1.62, "in memory", ha="left", va="center", fontsize=10, color=MUTED)
    axes.text(left + width, 1.62, f"view {{{slabs}, {outer}, {kept}, {inner}}}", ha="right", fontsize=10, **code)


def main():
    plt.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "normkit", "svg.fonttype": "path"})
    width, height = 23.4, 10.9
    figure = plt.figure(figsize=(width * 0.48, height * 0.48))
    axes = figure.add_axes([0, 0, 1, 1])
    axes.set_xlim(0, width)
    axes.set_ylim(0.4, 0.4 + height)
    axes.axis("off")
    # A card of its own, so that it reads on a dark page as on a light one.
    card = {"boxstyle": "round,pad=0,rounding_size=0.45", "facecolor": PAPER, "edgecolor": EDGE, "linewidth": 1.2}
    axes.add_patch(FancyBboxPatch((0.12, 0.52), width - 0.24, height - 0.24, **card))
    for number, panel in enumerate(PANELS):
        draw_panel(axes, panel, 1.0 + number * 7.55)
        if number > 0:
            x = 1.0 + number * 7.55 - 0.62
            axes.plot([x, x], [1.5, 10.7], color=EDGE, linewidth=1.0)
    says = "Coloured: the elements that share one mean and variance. (N, C, H, W), RowMajor; N = 3, C = 3, H·W = 4."
    axes.text(width / 2, 0.98, says, ha="center", va="center", fontsize=10, color=MUTED)
    path = pathlib.Path(__file__).with_name("axes.svg")
    metadata = {"Date": None, "Title": "Which axes BatchNorm and LayerNorm reduce"}  # no date: the same file every time
    figure.savefig(path, transparent=True, metadata=metadata)
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


if __name__ == "__main__":
    main()
