"""The classes of the embedded world, and the colours that its label maps are shown in."""

from __future__ import annotations

SKY, CLOUD, SUN, MOUNTAIN, SEA, SAND, GRASS, FIELD, TREE, BUILDING, ROAD, CAR = range(12)

NAMES = ("sky", "cloud", "sun", "mountain", "sea", "sand", "grass", "field", "tree", "building", "road", "car")

COLOURS = (
    (124, 185, 232),
    (238, 242, 247),
    (255, 209, 71),
    (120, 111, 143),
    (29, 98, 155),
    (239, 208, 149),
    (139, 190, 84),
    (205, 168, 42),
    (35, 107, 66),
    (196, 86, 66),
    (86, 90, 99),
    (214, 51, 132),
)
