"""The skull: its outer surface, its thickness, and the floor that the brain lies on."""

from dataclasses import dataclass

import cv2
import numpy as np

from ich.data.phantom.field import Map, Plane, bump, gradient, stretch

POWER = 2.25
"""Between an ellipse (2) and a box."""
WIDEST_MM = 23.0
VERTEX_MM = WIDEST_MM + 77.0
BELOW_MM = 210.0
HALF_WIDTH_MM, HALF_LENGTH_MM = 74.0, 92.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Skull:
    """What of one skull does not change with height; maps over the slice.

    `radius` is 1 on the widest outline and grows outward, `steepness` is its change in 1/mm, `thickness` the vault's in
    mm, `floor` the height of the skull base in mm, `level` the cosine of the floor's slope, `below_mm` how far under
    the widest level the outline would close.
    """

    radius: Map
    steepness: Map
    thickness: Map
    floor: Map
    level: Map
    below_mm: Map


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """A skull in one slice; distances in mm, positive inward.

    `outer` and `inner` are from the two surfaces of the vault, `above` from the floor, `cavity` from the nearest of
    inner and above. `upright` and `rise` are the z parts (absolute) of the normals of vault and cavity.
    """

    outer: Map
    inner: Map
    above: Map
    cavity: Map
    upright: Map
    rise: Map


def draw_skull(random: np.random.Generator, plane: Plane) -> Skull:
    """A skull of its own, over the pixels of one study."""
    half_width, half_length = HALF_WIDTH_MM * random.normal(1, 0.02), HALF_LENGTH_MM * random.normal(1, 0.02)
    angle = np.arctan2(plane.x, -plane.y)
    backward = plane.y / half_length
    egg = half_width * (1 + 0.09 * backward - 0.05 * backward * backward)
    radius = (np.abs(plane.x / egg) ** POWER + np.abs(backward) ** POWER) ** (1 / POWER)
    for order in range(2, 6):
        radius = radius * (1 + random.normal(0, 0.008) * np.cos(order * angle + random.uniform(0, 2 * np.pi)))
    roughness = stretch(random.standard_normal((10, 10), dtype=np.float32), plane.x.shape)
    floor = _draw_floor(random, plane)
    return Skull(
        radius=radius,
        steepness=gradient(radius, plane.pixel_mm),
        thickness=random.uniform(3.9, 6.3) * (1 - 0.25 * np.cos(2 * angle)).clip(0.8) + 0.5 * roughness,
        floor=floor,
        level=1 / np.sqrt(1 + gradient(floor, plane.pixel_mm) ** 2),
        below_mm=BELOW_MM - 90 * np.clip(plane.y / 60, 0, 1),  # the face hardly narrows, the occiput does
    )


def cut_skull(skull: Skull, plane: Plane) -> Shell:
    """Where the skull lies in a slice."""
    over = plane.z > WIDEST_MM
    reach = np.where(over, np.float32(VERTEX_MM - WIDEST_MM), skull.below_mm)
    height = np.abs(plane.z - WIDEST_MM) / reach
    radius = (skull.radius**POWER + height**POWER) ** (1 / POWER)
    upward = (height / radius) ** (POWER - 1) / reach
    # Without the bound the centre of the head would be as near to the surface as its rim.
    steepness = np.hypot(skull.steepness * (skull.radius / radius) ** (POWER - 1), upward).clip(0.6 / HALF_LENGTH_MM)
    upright = upward / steepness
    outer = (1 - radius) / steepness
    inner = outer - skull.thickness
    above = plane.z - skull.floor
    # Steep walls of the floor must not cast lines through the whole brain.
    above = above * (skull.level + (1 - skull.level) * np.clip(above / 18, 0, 1))
    return Shell(
        outer=outer,
        inner=inner,
        above=above,
        cavity=np.minimum(inner, above),
        upright=upright,
        rise=np.where(inner < above, upright, skull.level),
    )


def surface_point(angle: float, height_mm: float, *, depth_mm: float) -> tuple[float, float, float]:
    """A point of an average vault, `angle` from the forehead toward the left."""
    over = height_mm - WIDEST_MM
    height = over / (VERTEX_MM - WIDEST_MM) if over > 0 else -over / BELOW_MM
    across, along = abs(np.sin(angle)) / HALF_WIDTH_MM, abs(np.cos(angle)) / HALF_LENGTH_MM
    reach = ((1 - min(height, 0.98) ** POWER) / (across**POWER + along**POWER)) ** (1 / POWER) - depth_mm
    return float(reach * np.sin(angle)), float(-reach * np.cos(angle)), height_mm


def _draw_floor(random: np.random.Generator, plane: Plane) -> Map:
    """The height of the skull base: three fossae, one lower than the other, and the two ridges between them."""
    across, y = np.abs(plane.x), plane.y + np.float32(random.normal(0, 2))
    before_wing, behind_petrous = y + 32 + 0.22 * across, (y - 2 - 0.42 * across) / 1.085
    anterior = -6 + random.normal(11, 2) * bump(across, 30, 14) * bump(y, -58, 18)
    bowl = -33 + random.normal(0, 2) + 0.018 * (across - 38) ** 2 + 0.008 * (y + 14) ** 2
    middle = np.where(across < 13, np.float32(-4), bowl)
    posterior = -55 + 18 * (across / 55) ** 2 + 26 * (np.clip(y - 40, 0, None) / 45) ** 2
    floor = np.where(before_wing < 0, anterior, np.where(behind_petrous < 0, middle, posterior))
    clivus = -4 - 1.6 * y - 0.05 * across * across
    floor = np.where(y > -8, np.maximum(floor, np.minimum(clivus, -2)), floor)
    wing = 1 - before_wing**2 - np.clip(8 - across, 0, None) ** 2
    petrous = -4 - 0.8 * behind_petrous**2 - np.clip(14 - across, 0, None) ** 2
    floor = np.maximum(np.maximum(floor, wing), petrous)
    foramen = (plane.x / 15) ** 2 + ((y - 37) / 17) ** 2
    roughness = stretch(random.standard_normal((24, 24), dtype=np.float32), plane.x.shape)
    floor = np.where(foramen < 1, np.float32(-95), floor + 1.2 * roughness).astype(np.float32)
    smooth: Map = cv2.GaussianBlur(floor, (0, 0), 2 / plane.pixel_mm)
    return smooth
