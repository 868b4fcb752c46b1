"""The shapes of the cases: one for each class of views that the library distinguishes (docs/design.md)."""

import itertools
from dataclasses import dataclass


@dataclass(frozen=True)
class View:
    """A norm on a tensor, whose elements are counted in row-major order whatever the layout."""

    name: str
    extents: tuple
    axis: int  # BatchNorm: the channels'; LayerNorm: the first normalized one
    axes: int = 0  # LayerNorm: how many; BatchNorm: 0
    column_major: bool = False

    @property
    def is_batch_norm(self):
        return self.axes == 0

    def _index_over(self, axes):
        index = []
        for at in itertools.product(*map(range, self.extents)):
            place = 0
            for axis in axes:
                place = place * self.extents[axis] + at[axis]
            index.append(place)
        return index

    def indices(self):
        """The group and the parameter of every element."""
        all_axes = range(len(self.extents))
        if self.is_batch_norm:
            channel = self._index_over([self.axis])
            return channel, channel
        normalized = range(self.axis, self.axis + self.axes)
        return self._index_over([a for a in all_axes if a not in normalized]), self._index_over(normalized)


def _views(lanes, sandwich, runs, last, rows, row, columns, slabs, two):
    return [
        View("batch_norm/lanes", lanes, 1),
        View("batch_norm/sandwich", sandwich, 1),
        View("batch_norm/runs", runs, 1),
        View("batch_norm/channels_last", last, 3),
        View("layer_norm/rows", rows, 1, 1),
        View("layer_norm/row", row, 1, 1),
        View("layer_norm/lanes", columns, 1, 1, column_major=True),
        View("layer_norm/slab_lanes", slabs, 1, 1),
        View("layer_norm/two_axes", two, 1, 2),
    ]


# Small, since the data is committed, but with a full register and a tail where the extents allow it.
USUAL = _views((4, 9), (2, 2, 8), (1, 2, 17), (2, 2, 2, 3), (3, 9), (1, 33), (9, 3), (2, 3, 3), (2, 3, 4))
TWO_ELEMENTS = _views((2, 9), (2, 9, 1), (1, 9, 2), (2, 1, 1, 9), (9, 2), (1, 2), (9, 2), (2, 2, 5), (9, 1, 2))
ONE_ELEMENT = _views((1, 9), (1, 9, 1), (1, 9, 1), (1, 1, 1, 9), (9, 1), (1, 1), (9, 1), (2, 1, 5), (9, 1, 1))

# The classes of views once each.
MILLION = [
    View("batch_norm/lanes", (250000, 4), 1),
    View("batch_norm/sandwich", (100, 2, 5000), 1),
    View("batch_norm/runs", (1, 2, 500000), 1),
    View("layer_norm/rows", (4, 250000), 1, 1),
    View("layer_norm/many_rows", (250000, 4), 1, 1),
    View("layer_norm/row", (1, 1000000), 1, 1),
    View("layer_norm/lanes", (4, 250000), 1, 1, column_major=True),
    View("layer_norm/slab_lanes", (2, 250000, 2), 1, 1),
]
