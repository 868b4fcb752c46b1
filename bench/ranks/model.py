#!/usr/bin/env python3
"""The time that a forward and a backward spend on other ranks, by ranks and channels: docs/distributed.md has the formula.

    bench/ranks/model.py [--latency us] [--bandwidth GB/s]
"""

import argparse
import math

# Nanoseconds to merge the message of one rank for one channel of float: in cache, and where the messages are not
# (bench_ranks on a Zen 3). Forward, backward.
NEAR, FAR, CACHE_BYTES = (2.0, 1.2), (4.0, 2.7), 16e6
BYTES = 21  # a channel of float


def exchange(ranks, channels, which, latency, bandwidth):
    """Microseconds of one all_gather and its merging."""
    message = max(224, 32 + BYTES * channels)
    network = latency * math.ceil(math.log2(ranks)) + (ranks - 1) * message / (bandwidth * 1e3)
    merge = (NEAR if ranks * message < CACHE_BYTES else FAR)[which] * ranks * channels / 1e3
    return network, merge


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=2.0, help="us of a message (2)")
    parser.add_argument("--bandwidth", type=float, default=12.5, help="GB/s of a rank (12.5, 100 Gbit/s)")
    arguments = parser.parse_args()
    print("| ranks | 64 channels | 256 | 2048 |\n| ---: | ---: | ---: | ---: |")
    for ranks in (2, 8, 32, 100, 316, 1000, 3162, 10000):
        cells = []
        for channels in (64, 256, 2048):
            both = [sum(exchange(ranks, channels, which, arguments.latency, arguments.bandwidth)) for which in (0, 1)]
            cells.append(f"{sum(both) / 1e3:.2f}")
        print(f"| {ranks} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
