#!/usr/bin/python3
"""Writes what accuracy_peers found into docs/: the table of numerics.md, and img/accuracy.svg.

    python3 bench/accuracy/report.py accuracy.csv        (Debian: apt install python3-matplotlib)

scripts/bench-accuracy does all of it.
"""

import csv
import datetime
import math
import pathlib
import re
import subprocess
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
BEGIN = "<!-- written by scripts/bench-accuracy -->"
END = "<!-- end of what scripts/bench-accuracy writes -->"

ALLOWED = 4  # the k of the rule
NO_DIGIT = 2.0**24  # in units: as large as the terms that make the number, which then has no digit right

INK, MUTED, PAPER, EDGE, GRID = "#1f2328", "#57606a", "#ffffff", "#d0d7de", "#e6ebf0"
MARKS = {"normkit": ("#2f74b3", "o"), "PyTorch": ("#d9702b", "D"), "oneDNN": ("#5b4a8a", "s")}
NO_DIGIT_AT, CLASS_AT, HALF_COLUMN = 8.3, 9.6, 0.55  # the columns right of the scale


class Results:
    """The largest error of each regime and library, and how many cases failed."""

    def __init__(self, path):
        self.versions, self.largest, cases = {}, {}, {}
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                library = row["library"]
                self.versions[library] = row["version"]
                error = math.inf if row["error"] == "class" else float(row["error"])
                of_regime = self.largest.setdefault(row["regime"], {})
                of_regime[library] = max(of_regime.get(library, 0.0), error)
                of_case = cases.setdefault((row["regime"], row["configuration"], row["parameters"]), {})
                of_case[library] = max(of_case.get(library, 0.0), error)
        self.libraries = list(self.versions)
        self.cases = len(cases)
        self.failed = {name: sum(case[name] > ALLOWED for case in cases.values()) for name in self.libraries}
        if "PyTorch" in self.versions:
            self.versions["PyTorch"] = debian_version("libtorch-dev") or self.versions["PyTorch"]


def debian_version(package):
    """Of the package, without Debian's part: the headers of its PyTorch 1.13.1 call themselves 1.13.0."""
    try:
        command = ["dpkg-query", "--show", "--showformat", "${Version}", package]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("+")[0].split("-")[0]
    except (OSError, subprocess.CalledProcessError):
        return None


def instruction_set():
    """The other libraries choose their kernels by it."""
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return "an unknown instruction set"
    return "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"


def shown(error):
    """Two significant digits."""
    if math.isinf(error):
        return "class"
    if error >= NO_DIGIT:
        return "no digit"
    if error < 10:
        return f"{error:.1f}" if error >= 1 else f"{error:.2f}"
    digits = int(math.floor(math.log10(error)))
    rounded = round(error, 1 - digits)
    return f"{rounded:.0f}" if rounded < 1e5 else f"{rounded:.1e}".replace("e+0", "e")


def table(results):
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    date = datetime.date.today().isoformat()
    lines = [f"Run of {date}, on a CPU with {instruction_set()}: {versions}; float, one thread.", ""]
    lines.append("| regime | " + " | ".join(results.libraries) + " |")
    lines.append("| --- |" + " --- |" * len(results.libraries))
    for regime, largest in results.largest.items():
        cells = [shown(largest[name]) for name in results.libraries]
        lines.append(f"| `{regime}` | " + " | ".join(cells) + " |")
    counts = " | ".join(f"**{results.failed[name]}**" for name in results.libraries)
    lines.append(f"| **cases of {results.cases} with an error above {ALLOWED}** | {counts} |")
    lines.append("")
    return "\n".join(lines)


def write_table(results, path):
    text = path.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        sys.exit(f"{path} does not hold, once each and in this order: {BEGIN} {END}")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    path.write_text(f"{before}{BEGIN}\n{table(results)}\n{after}")


def place(error, number):
    """Where an error is drawn: in powers of 10, with a column each for what is no number of units any more. There, and
    a little across the rows, the libraries stand side by side, so that none hides another."""
    aside = (number - 1) * 0.22
    if math.isinf(error):
        return CLASS_AT + aside
    return NO_DIGIT_AT + aside if error >= NO_DIGIT else math.log10(max(error, 0.5))


def draw_scale(axes, rows):
    top, bottom = -0.8, rows - 0.4
    for power in range(8):
        axes.plot([power, power], [top, bottom], color=GRID, linewidth=1, zorder=0)
        label = str(10**power) if power < 4 else f"10$^{power}$"
        axes.text(power, top - 0.35, label, ha="center", va="bottom", fontsize=10, color=MUTED)
    for at, label in ((NO_DIGIT_AT, "no digit\nright"), (CLASS_AT, "wrong\nclass")):
        axes.fill_between([at - HALF_COLUMN, at + HALF_COLUMN], top, bottom, color="#f1f4f7", linewidth=0, zorder=0)
        axes.text(at, top - 0.35, label, ha="center", va="bottom", fontsize=10, color=MUTED, linespacing=1.15)
    bound = math.log10(ALLOWED)
    axes.plot([bound, bound], [top, bottom], color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.text(bound, bottom + 0.2, f"k = {ALLOWED}", ha="center", va="top", fontsize=10, color=INK)


def readable(regime):
    """1e_12 in a file's name is 1e-12."""
    return re.sub(r"\b1e (\d)", r"1e-\1", regime.replace("_", " "))


def draw_rows(axes, results):
    for row, (regime, largest) in enumerate(results.largest.items()):
        axes.text(-0.55, row, readable(regime), ha="right", va="center", fontsize=10, color=INK)
        axes.plot([-0.4, 7.6], [row + 0.5, row + 0.5], color=GRID, linewidth=0.6, zorder=0)
        for number, name in enumerate(results.libraries):
            error = largest[name]
            across = (number - 1) * 0.2 if error < NO_DIGIT else 0.0
            colour, shape = MARKS[name]
            style = {"color": colour, "marker": shape, "markersize": 5.6, "linestyle": "none", "zorder": 5 - number}
            axes.plot(place(error, number), row + across, markeredgecolor=PAPER, markeredgewidth=0.6, **style)


def draw_legend(axes, results):
    for number, name in enumerate(results.libraries):
        colour, shape = MARKS[name]
        left = -2.9 + number * 4.5
        axes.plot(left, -4.1, color=colour, marker=shape, markersize=8, linestyle="none")
        says = f"{name} {results.versions[name]}: {results.failed[name]} cases fail"
        axes.text(left + 0.22, -4.1, says, ha="left", va="center", fontsize=11.5, color=INK)


def draw(results, path):
    plt.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "normkit", "svg.fonttype": "path"})
    rows = len(results.largest)
    left, right, top, bottom = -4.1, 10.6, -6.8, rows + 1.9
    figure = plt.figure(figsize=(9.6, 0.215 * (bottom - top)))
    axes = figure.add_axes([0, 0, 1, 1])
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.axis("off")
    # A card of its own, so that it reads on a dark page as on a light one.
    card = figure.transFigure
    style = {"boxstyle": "round,pad=0,rounding_size=0.012", "facecolor": PAPER, "edgecolor": EDGE, "linewidth": 1.2}
    figure.add_artist(FancyBboxPatch((0.006, 0.005), 0.988, 0.99, transform=card, zorder=-1, **style))
    middle = (left + right) / 2
    title = "Largest error of any output, float, in units of the rule"
    axes.text(middle, -5.5, title, ha="center", va="center", fontsize=14, weight="bold", color=INK)
    draw_legend(axes, results)
    draw_scale(axes, rows)
    draw_rows(axes, results)
    says = f"One row for each kind of data. Of {results.cases} cases in all, those above k = {ALLOWED} fail."
    axes.text(middle, rows + 1.2, says, ha="center", va="center", fontsize=10, color=MUTED)
    metadata = {"Date": None, "Title": "Errors of normkit, PyTorch and oneDNN"}
    figure.savefig(path, transparent=True, metadata=metadata)
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    results = Results(sys.argv[1])
    write_table(results, DOCS / "numerics.md")
    draw(results, DOCS / "img" / "accuracy.svg")


if __name__ == "__main__":
    main()
