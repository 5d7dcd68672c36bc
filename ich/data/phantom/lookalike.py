"""What is bright and no blood: calcium, bone inside the skull, spots in a single slice, streaks."""

from dataclasses import dataclass

import numpy as np

from ich.data.phantom.difficulty import Difficulty
from ich.data.phantom.field import Map, Noise, Plane, Point, bump, distance, draw_noise, ellipsoid, paint, ramp
from ich.data.phantom.skull import Shell, surface_point


@dataclass(frozen=True, slots=True, kw_only=True)
class Calcium:
    """A calcified choroid plexus, pineal gland, basal ganglion or plaque of the falx."""

    centre: Point
    radii: Point
    hu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BoneLens:
    """Hyperostosis: shaped like an extra-axial bleed, and as white in a brain window, but bone in every other."""

    centre: Point
    radius_mm: float
    depth_mm: float
    hu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookalikes:
    """Those of one study."""

    calcium: tuple[Calcium, ...]
    lenses: tuple[BoneLens, ...]
    crumbs: Noise


def draw_lookalikes(random: np.random.Generator, difficulty: Difficulty) -> Lookalikes:
    calcium = []
    for side in (1.0, -1.0):
        if random.random() < 0.55:
            place = (side * random.normal(22, 1.5), random.normal(33, 2.5), random.normal(27, 2))
            calcium.append(_calcium(random, place, (1.5, 3.6), (90, 260)))
        if random.random() < 0.08:
            calcium.append(_calcium(random, (side * 20.0, -3.0, 14.0), (2, 4), (70, 180)))
    if random.random() < 0.6:
        calcium.append(_calcium(random, (random.normal(0, 0.8), 25.0, 15.0), (1.4, 2.8), (100, 300)))
    if random.random() < 0.2:
        place = (0.0, random.uniform(-60, 40), random.uniform(35, 75))
        calcium.append(
            Calcium(centre=place, radii=(1.2, random.uniform(4, 9), random.uniform(3, 7)), hu=random.uniform(100, 400))
        )
    lenses = []
    if random.random() < difficulty.hyperostosis_share:
        for _ in range(int(random.integers(1, 4))):
            angle = random.choice([-1.0, 1.0]) * random.uniform(0.25, 2.6)
            place = surface_point(angle, random.uniform(10, 60), depth_mm=5.0)
            lenses.append(
                BoneLens(
                    centre=place,
                    radius_mm=random.uniform(14, 34),
                    depth_mm=random.uniform(2.5, 7),
                    hu=random.uniform(250, 900),
                )
            )
    return Lookalikes(calcium=tuple(calcium), lenses=tuple(lenses), crumbs=draw_noise(random, 70, 70, step_mm=4))


def paint_lookalikes(hu: Map, lookalikes: Lookalikes, plane: Plane, shell: Shell) -> None:
    soft = plane.pixel_mm + 0.25 * plane.thickness_mm
    crumbs = lookalikes.crumbs.over(plane)
    for grain in lookalikes.calcium:
        if abs(plane.z.mean() - grain.centre[2]) < 40:
            paint(hu, ramp(ellipsoid(plane, grain.centre, grain.radii) + 0.5 * crumbs, soft), grain.hu)
    for lens in lookalikes.lenses:
        inside = lens.depth_mm * (1 - (distance(plane, lens.centre) / lens.radius_mm) ** 2) - shell.inner
        paint(hu, ramp(inside + 0.6 * crumbs, soft), lens.hu + 60 * crumbs)


def paint_spot(hu: Map, random: np.random.Generator, plane: Plane, shell: Shell, share: float) -> None:
    """Sometimes a spot as bright as blood that no neighbouring slice has."""
    drawn = random.random() < share
    angle, reach, size = random.uniform(0, 2 * np.pi), random.uniform(5, 65), random.uniform(4, 11)
    more = random.uniform(14, 34)
    if drawn:
        spot = np.hypot(plane.x - np.float32(reach * np.sin(angle)), plane.y + np.float32(1.2 * reach * np.cos(angle)))
        hu += np.float32(more) * ramp(0.6 * size - spot, 0.6 * size) * ramp(shell.cavity - 2, 2.0)


def paint_streaks(hu: Map, random: np.random.Generator, plane: Plane, strength: float) -> None:
    """Beam hardening: bands across the slice, a dark bar between the petrous bones."""
    for _ in range(random.poisson(strength * (1 + 4 * plane.basal))):
        angle, place = random.uniform(0, np.pi), random.normal(0, 35)
        across = plane.x * np.float32(np.sin(angle)) + plane.y * np.float32(np.cos(angle))
        hu += np.float32(random.normal(0, 5)) * bump(across, place, random.uniform(1.5, 6))
    hu -= np.float32(7 * plane.basal * min(1.0, strength + 0.4)) * bump(plane.y, 12, 7) * bump(plane.x, 0, 42)


def _calcium(
    random: np.random.Generator, centre: Point, radius_mm: tuple[float, float], hu: tuple[float, float]
) -> Calcium:
    radii = [float(random.uniform(*radius_mm)) for _ in range(3)]
    return Calcium(centre=centre, radii=(radii[0], radii[1] * 1.2, radii[2] * 1.2), hu=random.uniform(*hu))
