#!/usr/bin/python3
"""Writes what bench_peers found into docs/: the tables of a page, and for benchmarks.md img/benchmarks.svg too.

    python3 bench/peers/report.py benchmarks.csv docs/benchmarks.md        (Debian: apt install python3-matplotlib)

scripts/bench does all of it.
"""

import collections
import csv
import datetime
import math
import pathlib
import platform
import re
import subprocess
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

BEGIN = "<!-- written by scripts/bench -->"
END = "<!-- end of what scripts/bench writes -->"

OURS, PEERS, LIMITS = "normkit", ("PyTorch", "oneDNN"), ("memcpy", "streaming copy")
SHOWN = (OURS, *PEERS, "oneDNN, blocked", "Eigen expression", *LIMITS)
STORED = {"normkit, bfloat16": "bfloat16", "normkit, half": "half"}  # float rows, with tensors of 16 bits
PARTS = "normkit, parts"  # fused rows, by the plain layer and Eigen expressions
NEAR_LIMIT, ALLOWED_NEAR_LIMIT = 1.2, 1.05  # a peer that is so near the limit may be missed by so much

INK, MUTED, GRID = "#1f2328", "#57606a", "#e6ebf0"
MARKS = {
    "normkit": ("#2f74b3", "o"),
    "PyTorch": ("#d9702b", "D"),
    "oneDNN": ("#5b4a8a", "s"),
    "streaming copy": (MUTED, "|"),
}


class Row:
    """The seconds of each library on one row."""

    def __init__(self, fields):
        self.network, self.norm, self.shape = fields["network"], fields["norm"], fields["shape"]
        self.direction, self.type, self.threads = fields["pass"], fields["type"], int(fields["threads"])
        self.bytes, self.seconds = int(fields["bytes"]), {}

    @property
    def name(self):
        return f"{self.norm} {self.shape} {self.direction}"

    @property
    def peer(self):
        return min((self.seconds[name] for name in PEERS if name in self.seconds), default=math.nan)

    @property
    def limit(self):
        return min((self.seconds[name] for name in LIMITS if name in self.seconds), default=0.0)

    @property
    def ratio(self):
        """Our time by that of the best peer."""
        return self.seconds[OURS] / self.peer

    @property
    def allowed(self):
        return ALLOWED_NEAR_LIMIT if self.peer <= NEAR_LIMIT * self.limit else 1.0

    def rate(self, library):
        return self.bytes / self.seconds[library] * 1e-9


def read(path):
    rows, versions = collections.OrderedDict(), {}
    with open(path, newline="") as file:
        for fields in csv.DictReader(file):
            if fields["library"] in LIMITS and ", add" in fields["shape"]:
                continue  # the copies move no third tensor: they are no limit there
            key = tuple(fields[name] for name in ("network", "norm", "shape", "pass", "type", "threads"))
            rows.setdefault(key, Row(fields)).seconds[fields["library"]] = float(fields["seconds"])
            if fields["version"]:
                versions[fields["library"]] = fields["version"]
    return list(rows.values()), versions


def first_match(pattern, path, default):
    try:
        found = re.search(pattern, pathlib.Path(path).read_text())
    except OSError:
        return default
    return found.group(1).strip() if found else default


def cache_bytes():
    size = first_match(r"(\d+)K", "/sys/devices/system/cpu/cpu0/cache/index3/size", "0")
    return int(size) * 1024 or 32 << 20


def machine():
    model = first_match(r"model name\s*:\s*(.+)", "/proc/cpuinfo", platform.machine())
    flags = first_match(r"flags\s*:\s*(.+)", "/proc/cpuinfo", "").split()
    widest = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
    return f"{model}, {widest}, {cache_bytes() >> 20} MiB of last-level cache; {compiler}, -O2"


def geometric_mean(numbers):
    numbers = list(numbers)
    return math.exp(sum(map(math.log, numbers)) / len(numbers)) if numbers else math.nan


def growth(rows):
    """Our time for each byte of the largest of a norm's rows in sizes.txt, by that of the smallest, on one thread."""
    by_size = collections.defaultdict(list)
    for row in sorted((r for r in rows if r.network == "sizes" and r.threads == 1), key=lambda r: r.bytes):
        by_size[row.norm, *row.shape.split()[1:], row.direction, row.type].append(row.seconds[OURS] / row.bytes)
    return [times[-1] / times[0] for times in by_size.values()]


def summary(rows):
    with_peer = [row for row in rows if not math.isnan(row.peer)]
    won = [row for row in with_peer if row.ratio <= row.allowed]
    nchw = [r for r in with_peer if r.norm == "BatchNorm" and "NCHW" in r.shape and r.direction != "eval"]
    large = [r for r in rows if r.bytes > cache_bytes() and r.direction != "backward" and "streaming copy" in r.seconds]
    single = {(r.name, r.type): r.seconds[OURS] for r in rows if r.threads == 1}
    fitting = [r for r in rows if r.threads == 2 and r.bytes <= cache_bytes() and single[r.name, r.type] > 1e-4]
    within = lambda r: r.seconds[OURS] / r.seconds["streaming copy"]
    twice = lambda r: "NHWC" in r.shape and r.direction == "train"
    near = [r for r in large if within(r) <= (2.0 if twice(r) else 1.6)]
    faster = [r for r in fitting if single[r.name, r.type] / r.seconds[OURS] >= 1.7]
    sizes = growth(rows)
    lines = [
        f"- {len(won)} of {len(with_peer)} rows take no longer than the best peer of the row (1.05 times as long where"
        " that peer is within 20 % of the limit).",
        f"- Geometric mean of (time of the best peer) / (our time): {geometric_mean(1 / r.ratio for r in with_peer):.2f};"
        f" BatchNorm NCHW, training and backward: {geometric_mean(1 / r.ratio for r in nchw):.2f}.",
        f"- Forward rows beyond the last-level cache: {len(near)} of {len(large)} within 1.6 times a streaming copy"
        f" (NHWC training 2.0); geometric mean {geometric_mean(map(within, large)):.2f}.",
        f"- Rows within the cache that take over 100 us: {len(faster)} of {len(fitting)} at least 1.7 times as fast on 2"
        " threads; geometric mean "
        f"{geometric_mean(single[r.name, r.type] / r.seconds[OURS] for r in fitting):.2f}.",
    ]
    for name, kind in STORED.items():
        gains = [r.seconds[OURS] / r.seconds[name] for r in rows if name in r.seconds and r.bytes > cache_bytes()]
        if gains:
            lines.append(f"- Rows beyond the last-level cache with tensors of {kind}: {geometric_mean(gains):.2f} times as fast"
                         f" as with float (geometric mean); {sum(g >= 1.6 for g in gains)} of {len(gains)} at least 1.6 times.")
    gains = [r.seconds[PARTS] / r.seconds[OURS] for r in rows if PARTS in r.seconds]
    if gains:
        lines.append(f"- Rows with a sum or a ReLU in the norm's own passes: {geometric_mean(gains):.2f} times as fast as in parts"
                     f" (geometric mean); {sum(g >= 1 for g in gains)} of {len(gains)} no slower.")
    if sizes:
        lines.append(f"- Time for each element at 1e8 elements, by that at 3e7: at most {max(sizes):.2f}, geometric mean"
                     f" {geometric_mean(sizes):.2f}.")
    return lines


def table(rows, kind, threads):
    libraries = [name for name in SHOWN if any(name in row.seconds for row in rows)]
    lines = [f"### {kind}, {threads} thread{'s' if threads > 1 else ''}: GB/s", ""]
    lines.append("| row | " + " | ".join(libraries) + " | our time / best peer |")
    lines.append("| --- |" + " ---: |" * (len(libraries) + 1))
    for row in rows:
        cells = [f"{row.rate(name):.1f}" if name in row.seconds else "" for name in libraries]
        ratio = "" if math.isnan(row.peer) else f"{row.ratio:.2f}"
        lines.append(f"| {row.name} | " + " | ".join(cells) + f" | {ratio if row.ratio <= row.allowed or not ratio else f'**{ratio}**'} |")
    return [*lines, ""]


def storage_table(rows):
    """How many times as fast float rows are with tensors of 16 bits."""
    shown = [row for row in rows if any(name in row.seconds for name in STORED)]
    if not shown:
        return []
    lines = ["### Numbers of 16 bits: times as fast as float", "", "| row | threads | " + " | ".join(STORED.values()) + " |"]
    lines.append("| --- | ---: |" + " ---: |" * len(STORED))
    for row in shown:
        gains = (f"{row.seconds[OURS] / row.seconds[name]:.2f}" if name in row.seconds else "" for name in STORED)
        lines.append(f"| {row.name} | {row.threads} | " + " | ".join(gains) + " |")
    return [*lines, ""]


def parts_table(rows):
    """How many times as fast fused rows are as the plain layer and Eigen expressions one after the other."""
    shown = collections.defaultdict(dict)
    for row in rows:
        if PARTS in row.seconds:
            shown[row.name][row.type, row.threads] = row.seconds[PARTS] / row.seconds[OURS]
    if not shown:
        return []
    columns = sorted({column for gains in shown.values() for column in gains}, key=lambda c: (c[0] != "float", c[1]))
    heads = [f"{kind}, {threads} thread{'s' if threads > 1 else ''}" for kind, threads in columns]
    lines = ["### Fused: times as fast as in parts", "", "| row | " + " | ".join(heads) + " |"]
    lines.append("| --- |" + " ---: |" * len(columns))
    for name, gains in shown.items():
        lines.append(f"| {name} | " + " | ".join(f"{gains[c]:.2f}" if c in gains else "" for c in columns) + " |")
    return [*lines, ""]


def text(rows, versions):
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [f"Run of {datetime.date.today().isoformat()}: {machine()}. {names}.", "", *summary(rows), ""]
    for kind in ("float", "double"):
        for threads in sorted({row.threads for row in rows}):
            chosen = [row for row in rows if row.type == kind and row.threads == threads]
            if chosen:
                lines += table(chosen, kind, threads)
    return "\n".join(lines + storage_table(rows) + parts_table(rows))


def write(content, path):
    page = path.read_text()
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        sys.exit(f"{path} does not hold, once each and in this order: {BEGIN} {END}")
    path.write_text(f"{page[: page.index(BEGIN)]}{BEGIN}\n{content}\n{page[page.index(END) :]}")


def draw(rows, path):
    plt.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "normkit", "svg.fonttype": "path"})
    rows = [row for row in rows if row.type == "float" and row.threads == 1]
    figure, axes = plt.subplots(figsize=(9.6, 0.24 * len(rows) + 1.4))
    for place, row in enumerate(rows):
        for name, (colour, shape) in MARKS.items():
            if name in row.seconds:
                axes.plot(row.rate(name), place, color=colour, marker=shape, markersize=6, linestyle="none",
                          label=name if place == 0 else None, zorder=3 if name == OURS else 2)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8, color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(color=GRID, which="both", axis="x")
    axes.grid(color=GRID, axis="y", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axes.set_xlabel("GB/s of what is read once and written once; float, one thread", color=INK)
    axes.spines[:].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncol=4, frameon=False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None, "Title": "Speed of normkit beside others"})
    plt.close(figure)
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    rows, versions = read(sys.argv[1])
    print("\n".join(summary(rows)))
    page = pathlib.Path(sys.argv[2])
    write(text(rows, versions), page)
    if page.name == "benchmarks.md":
        draw(rows, page.parent / "img" / "benchmarks.svg")


if __name__ == "__main__":
    main()
