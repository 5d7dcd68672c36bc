"""Which bleeds a study has: places, sizes and densities drawn at random."""

from collections.abc import Callable

import numpy as np

from ich.data.phantom.bleeding import Bleed, Epidural, Intraparenchymal, Intraventricular, Subarachnoid, Subdural
from ich.data.phantom.difficulty import Difficulty
from ich.data.phantom.field import Point, draw_noise
from ich.data.phantom.skull import surface_point

SITES: dict[str, tuple[float, Point, Point, tuple[float, float]]] = {
    "basal ganglia": (0.33, (27, -4, 17), (3, 5, 3), (10, 24)),
    "lobar": (0.33, (38, 8, 42), (5, 30, 9), (11, 26)),
    "thalamus": (0.14, (14, 12, 20), (2, 4, 2), (8, 17)),
    "contusion": (0.10, (27, -54, 8), (8, 5, 5), (8, 18)),
    "cerebellum": (0.07, (22, 46, -18), (5, 5, 5), (8, 18)),
    "pons": (0.03, (2, 12, -20), (2, 2, 3), (6, 11)),
}
"""Share, centre (of the left one), its deviations and the radii; all in mm."""


def draw_bleeds(random: np.random.Generator, kinds: tuple[str, ...], difficulty: Difficulty) -> tuple[Bleed, ...]:
    """One bleed of each kind, in the order in which they take their place."""
    return tuple(draw(random, difficulty) for kind, draw in _DRAWS.items() if kind in kinds)


def _density(random: np.random.Generator, difficulty: Difficulty) -> float:
    low, high = difficulty.blood_hu
    return low + (high - low) * float(random.beta(2.2, 2.2))


def _side(random: np.random.Generator) -> float:
    return 1.0 if random.random() < 0.5 else -1.0


def _draw_epidural(random: np.random.Generator, difficulty: Difficulty) -> Bleed:
    angle = _side(random) * (random.normal(1.75, 0.2) if random.random() < 0.7 else random.uniform(0.5, 2.7))
    return Epidural(
        hu=_density(random, difficulty),
        centre=surface_point(angle, random.uniform(8, 45), depth_mm=5.0),
        radius_mm=random.uniform(21, 34) * difficulty.bleed_scale,
        depth_mm=random.uniform(9, 22) * difficulty.bleed_scale,
    )


def _draw_subdural(random: np.random.Generator, difficulty: Difficulty) -> Bleed:
    convexity = random.random() < difficulty.convexity_share
    where = "convexity" if convexity else "falx" if random.random() < 0.65 else "tentorium"
    heights_mm = {"convexity": random.uniform(22, 52), "falx": 45.0, "tentorium": 15.0}
    thin = random.random() < difficulty.thin_subdural_share
    depth = random.uniform(2.5, 5) if thin or not convexity else random.uniform(5.5, 13)
    return Subdural(
        hu=_density(random, difficulty),
        centre=(_side(random), random.normal(0, 22), heights_mm[where]),
        length_mm=random.uniform(40, 85),
        height_mm=random.uniform(26, 50) * (1 if convexity else 0.8),
        depth_mm=(depth if convexity else depth + 1.2) * difficulty.bleed_scale,
        where=where,
    )


def _draw_subarachnoid(random: np.random.Generator, difficulty: Difficulty) -> Bleed:
    basal = random.random() < 0.4
    angle = _side(random) * random.uniform(0.4, 2.7)
    centre = (random.normal(0, 8), -8.0, 0.0) if basal else surface_point(angle, random.uniform(8, 65), depth_mm=14.0)
    palest = difficulty.blood_hu[0]
    return Subarachnoid(
        hu=palest + 4 + 0.6 * (_density(random, difficulty) - palest),  # mixed with fluid, so never the brightest
        centre=centre,
        radius_mm=(random.uniform(30, 52) if basal else random.uniform(18, 38)) * difficulty.bleed_scale,
        filling=difficulty.subarachnoid_filling,
        patches=draw_noise(random, 12, 12, step_mm=12),
    )


def _draw_intraventricular(random: np.random.Generator, difficulty: Difficulty) -> Bleed:
    where = str(random.choice(["level", "one", "both", "middle"], p=[0.47, 0.2, 0.18, 0.15]))
    return Intraventricular(
        hu=_density(random, difficulty), where=where, level_mm=random.uniform(22, 40), side=_side(random)
    )


def _draw_intraparenchymal(random: np.random.Generator, difficulty: Difficulty) -> Bleed:
    shares = np.array([site[0] for site in SITES.values()])
    _, centre, spread, (low, high) = list(SITES.values())[int(random.choice(len(SITES), p=shares / shares.sum()))]
    side = _side(random)
    x, y, z = (random.normal(middle, deviation) for middle, deviation in zip(centre, spread, strict=True))
    radius = (low + (high - low) * random.beta(1.4, 1.8)) * difficulty.bleed_scale
    lobes: list[tuple[Point, Point]] = []
    for part in range(int(random.integers(1, 4))):
        size = radius if part == 0 else radius * random.uniform(0.4, 0.7)
        off = (0.0, 0.0, 0.0) if part == 0 else random.normal(0, 0.55 * radius, 3)
        radii = tuple(float(size * random.uniform(0.75, 1.25)) for _ in range(3))
        lobes.append(((side * x + float(off[0]), y + float(off[1]), z + float(off[2])), (radii[0], radii[1], radii[2])))
    return Intraparenchymal(
        hu=_density(random, difficulty),
        lobes=tuple(lobes),
        roughness=draw_noise(random, 30, 30, step_mm=7),
        oedema_mm=random.uniform(3, 8),
    )


_DRAWS: dict[str, Callable[[np.random.Generator, Difficulty], Bleed]] = {
    "epidural": _draw_epidural,
    "subdural": _draw_subdural,
    "intraparenchymal": _draw_intraparenchymal,
    "intraventricular": _draw_intraventricular,
    "subarachnoid": _draw_subarachnoid,
}
