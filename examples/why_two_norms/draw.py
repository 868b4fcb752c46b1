#!/usr/bin/python3
"""Draws docs/img/why-two-norms-images.svg and why-two-norms-text.svg from docs/img/why-two-norms.csv, or from another journal.

    python3 examples/why_two_norms/draw.py [trials.csv]        (Debian: apt install python3-matplotlib)

A journal that is given takes the place of the one in docs/.
"""

import collections
import csv
import itertools
import math
import pathlib
import shutil
import statistics
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

IMG = pathlib.Path(__file__).resolve().parents[2] / "docs" / "img"
JOURNAL = IMG / "why-two-norms.csv"

INK, MUTED, EDGE, GRID = "#1f2328", "#57606a", "#d0d7de", "#e6ebf0"
MARKS = {
    "none": ("#8c959f", "o"),
    "BatchNorm": ("#2f74b3", "s"),
    "BatchNorm with padding": ("#5b4a8a", "^"),
    "LayerNorm": ("#d9702b", "D"),
}


class Trials:
    """outcomes[task, norm, batch, rate] is a list of what came of each seed."""

    def __init__(self, path):
        self.outcomes, plans = collections.defaultdict(list), collections.defaultdict(set)
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                key = row["task"], row["norm"], int(row["batch"]), float(row["rate"])
                words = ("task", "norm", "data")
                self.outcomes[key].append({name: float(value or "nan") for name, value in row.items() if name not in words})
                plans[row["task"]].add((row["epochs"], row["data"]))
        if any(len(of_task) > 1 for of_task in plans.values()):
            sys.exit(f"{path}: of more than one plan or data")
        for task in plans:
            for key in itertools.product([task], *(self.values(place, task) for place in (1, 2, 3))):
                if not self.outcomes[key]:
                    sys.exit(f"{path}: no {key}")

    def values(self, place, task):
        """What stands at a place of the keys of a task: 1 norms, 2 batches, 3 rates."""
        return sorted({key[place] for key in self.outcomes if key[0] == task}, key=lambda v: list(MARKS).index(v) if v in MARKS else v)

    def spread(self, *key, what):
        numbers = [outcome[what] for outcome in self.outcomes[key]]
        return statistics.fmean(numbers), min(numbers), max(numbers)

    def best_rate(self, task, norm, batch):
        """As the program's table: that of the least loss in evaluation."""
        losses = {rate: self.spread(task, norm, batch, rate, what="loss")[0] for rate in self.values(3, task)}
        return min((rate for rate in losses if not math.isnan(losses[rate])), key=losses.get)


def plain(axes):
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(EDGE)
    axes.tick_params(colors=MUTED, labelsize=9)


def draw_images(trials):
    batches, rates = trials.values(2, "images"), trials.values(3, "images")
    figure, panels = plt.subplots(1, len(batches), figsize=(11, 3.4), sharey=True, squeeze=False)
    for axes, batch in zip(panels[0], batches):
        plain(axes)
        for norm in trials.values(1, "images"):
            color, marker = MARKS[norm]
            points = [trials.spread("images", norm, batch, rate, what="accuracy") for rate in rates]
            mean, least, most = ([100 * value for value in column] for column in zip(*points))
            axes.fill_between(rates, least, most, color=color, alpha=0.18, linewidth=0)
            axes.plot(rates, mean, color=color, marker=marker, markersize=5, linewidth=1.8, label=norm)
        axes.set_xscale("log")
        axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
        axes.minorticks_off()
        axes.set_title(f"{batch} images a batch", fontsize=10, color=INK)
        axes.set_xlabel("learning rate", fontsize=9, color=MUTED)
    panels[0, 0].set_ylabel("held-out digits told rightly, %", fontsize=9, color=MUTED)
    panels[0, 0].legend(fontsize=9, frameon=False, loc="lower left")
    save(figure, "why-two-norms-images.svg")


def draw_text(trials):
    """At the best rate of each norm and batch size: a column for each way of judging, one panel for each size."""
    judged = {"loss": "in\nevaluation", "batch_loss": "statistics\nof its batch", "padded_loss": "the same,\npadded\ntwice as far"}
    batches, norms = trials.values(2, "text"), trials.values(1, "text")
    figure, panels = plt.subplots(1, len(batches), figsize=(11, 3.6), sharey=True, squeeze=False)
    for axes, batch in zip(panels[0], batches):
        plain(axes)
        for i, norm in enumerate(norms):
            color, marker = MARKS[norm]
            rate = trials.best_rate("text", norm, batch)
            at = [column + (i - (len(norms) - 1) / 2) * 0.18 for column in range(len(judged))]
            mean, least, most = zip(*(trials.spread("text", norm, batch, rate, what=what) for what in judged))
            axes.vlines(at, least, most, color=color, linewidth=1.6)
            axes.plot(at, mean, color=color, marker=marker, markersize=6, linestyle="none", label=norm)
        axes.set_xticks(range(len(judged)), judged.values())
        axes.grid(axis="x", visible=False)
        axes.set_title("1 verse a batch" if batch == 1 else f"{batch} verses a batch", fontsize=10, color=INK)
    panels[0, 0].set_ylabel("loss of a held-out character, nats", fontsize=9, color=MUTED)
    panels[0, 0].legend(fontsize=9, frameon=False, loc="upper left")
    save(figure, "why-two-norms-text.svg")


def save(figure, name):
    figure.tight_layout()
    figure.savefig(IMG / name, metadata={"Date": None})
    print(IMG / name)


def main():
    plt.rcParams["svg.hashsalt"] = "normkit"  # the same file from the same numbers
    plt.rcParams["font.family"] = "DejaVu Sans"
    journal = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else JOURNAL
    trials = Trials(journal)
    draw_images(trials)
    draw_text(trials)
    if not JOURNAL.exists() or not JOURNAL.samefile(journal):
        shutil.copyfile(journal, JOURNAL)


if __name__ == "__main__":
    main()
