"""The brain inside the cavity: folds, ventricles, cisterns, deep grey matter, falx and tentorium."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ich.data.phantom.field import (
    Map,
    Noise,
    Plane,
    bump,
    capsule,
    draw_noise,
    ellipsoid,
    gradient,
    mirrored,
    paint,
    ramp,
)
from ich.data.phantom.skull import Shell

FOLDS_AROUND, FOLD_DEPTH_MM = 44, 9.0
CORTEX_MM, RIBBON_MM = 3.2, 2.6
WARP_MM = 2.2
"""No brain is symmetric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brain:
    """A brain: how old (0 young, 1 wide sulci and ventricles), its HU, and the noise that folds it."""

    age: float
    white_hu: float
    grey_hu: float
    fluid_hu: float
    fold_mm: float
    ventricles: tuple[float, float]
    radial: Noise
    plain: Noise
    fine: Noise
    texture: Noise
    warp: tuple[Noise, Noise]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tissue:
    """The cavity's content in one slice without blood; distances in mm, the others fractions.

    `lateral` and `middle` (third and fourth) are the ventricles, `sulci` what of the fluid lies outside them.
    """

    hu: Map
    lateral: Map
    middle: Map
    sulci: Map


def draw_brain(random: np.random.Generator, *, widening: float) -> Brain:
    age = float(random.beta(1.6, 1.6))
    wide = (0.7 + 0.9 * age) * widening
    return Brain(
        age=age,
        white_hu=random.uniform(26.5, 31),
        grey_hu=random.uniform(5.5, 8.5),
        fluid_hu=random.uniform(4, 10),
        fold_mm=random.uniform(15, 23),
        ventricles=(wide * random.normal(1, 0.08), wide * random.normal(1, 0.08)),
        radial=draw_noise(random, 9, FOLDS_AROUND, step_mm=9),
        plain=draw_noise(random, 30, 30, step_mm=7),
        fine=draw_noise(random, 60, 60, step_mm=5),
        texture=draw_noise(random, 24, 24, step_mm=6),
        warp=(draw_noise(random, 11, 11, step_mm=14), draw_noise(random, 11, 11, step_mm=14)),
    )


def cut_brain(brain: Brain, plane: Plane, shell: Shell) -> Tissue:
    """The brain in a slice; `plane` is already pushed where a bleed pushes."""
    soft = plane.pixel_mm + 0.35 * plane.thickness_mm
    plane = replace(
        plane, x=plane.x + WARP_MM * brain.warp[0].over(plane), y=plane.y + WARP_MM * brain.warp[1].over(plane)
    )
    lateral, middle = _lateral_ventricles(brain, plane), _middle_ventricles(brain, plane)
    tentorium = tentorium_height(plane)
    below = ramp(tentorium - plane.z, 4.0) * ramp(plane.y - 2, 6.0)
    folds, ribbon = _folds(brain, plane, shell, below)
    rim = ramp(0.3 + 1.6 * brain.age**1.5 - shell.cavity, plane.pixel_mm) * min(1.0, 0.25 + brain.age)
    sulci = np.maximum(np.maximum(folds, rim), ramp(_cisterns(brain, plane), soft))
    sulci = np.maximum(sulci, _fissure(brain, plane, shell) * (1 - below))
    ventricles = ramp(np.maximum(lateral, middle), soft)
    grey = np.maximum(np.maximum(ribbon, ramp(CORTEX_MM - shell.cavity, 2.0)), 0.75 * ramp(_deep_grey(plane), soft + 1))
    hu = brain.white_hu + brain.grey_hu * grey + 0.9 * brain.texture.over(plane)
    aged = 0.6 * brain.age * ramp(np.float32(9 * brain.age) + lateral, 6.0) * ramp(plane.z - 16, 6.0)
    hu -= 7 * aged * (1 - grey)  # small-vessel disease round the ventricles
    paint(hu, np.maximum(sulci, ventricles), brain.fluid_hu)
    _paint_membranes(hu, brain, plane, shell, tentorium)
    return Tissue(hu=hu, lateral=lateral, middle=middle, sulci=sulci * (1 - ventricles))


def push(bleed_side: float, shift_mm: float, y_mm: float, z_mm: float, plane: Plane) -> Map:
    """How far blood on one side has pushed the brain to the other, in mm to the left."""
    return -bleed_side * shift_mm * bump(plane.x, 0, 50) * bump(plane.y, y_mm, 45) * bump(plane.z, z_mm, 40)


def falx_reach(plane: Plane, shell: Shell) -> Map:
    """Distance inside the sheet's extent, which hangs 31 mm from the vault."""
    return np.minimum(31 - shell.inner, plane.z - tentorium_height(plane))


def tentorium_height(plane: Plane) -> Map:
    return 22 - 0.013 * plane.x**2 - 0.009 * (plane.y - 22) ** 2


def _lateral_ventricles(brain: Brain, plane: Plane) -> Map:
    pair = mirrored(plane)
    scale = np.where(plane.x > 0, np.float32(brain.ventricles[0]), np.float32(brain.ventricles[1]))
    atrium = (23.0, 34.0, 28.0)
    rods = (
        ((7.0, -34.0, 22.0), (9.0, -22.0, 29.0), (2.4, 4.2)),
        ((9.0, -22.0, 29.0), (10.5, 6.0, 37.0), (4.2, 4.6)),
        ((10.5, 6.0, 37.0), atrium, (4.6, 6.2)),
        (atrium, (20.0, 56.0, 22.0), (5.0, 1.4)),
        (atrium, (33.0, 14.0, 4.0), (4.2, 2.2)),
        ((33.0, 14.0, 4.0), (29.0, -8.0, -3.0), (2.2, 1.6)),
    )
    horns = [capsule(pair, start, end, radius=radius, scale=scale) for start, end, radius in rods]
    septum = np.abs(plane.x) - 0.8
    return np.minimum(np.maximum.reduce(horns), septum)


def _middle_ventricles(brain: Brain, plane: Plane) -> Map:
    wide = 1.0 + 2.2 * brain.age * brain.ventricles[0]
    third = np.minimum(wide - np.abs(plane.x), np.minimum(16 - np.abs(plane.y + 2), 9 - np.abs(plane.z - 13)))
    fourth = ellipsoid(plane, (0, 31, -20), (7.0 + brain.age, 5.0, 10.0))
    return np.maximum(third, fourth)


def _deep_grey(plane: Plane) -> Map:
    pair = mirrored(plane)
    caudate = ellipsoid(pair, (13, -23, 25), (4.5, 8, 10))
    lentiform = ellipsoid(pair, (25, -6, 16), (7, 15, 11))
    thalamus = ellipsoid(pair, (11, 12, 20), (8, 13, 10))
    return np.maximum(np.maximum(caudate, lentiform), thalamus)


def _cisterns(brain: Brain, plane: Plane) -> Map:
    wide = 0.1 + 1.6 * brain.age + 0.8 * brain.fine.over(plane)
    pair = mirrored(plane)
    angle, reach = np.arctan2(plane.x, plane.y + 12), np.hypot(plane.x, plane.y + 12)
    star = np.minimum(9 + wide + 3.5 * np.cos(5 * angle + np.float32(np.pi)) - reach, 7 - np.abs(plane.z + 3))
    around = np.hypot(plane.x / 1.1, plane.y - 8)
    crescent = np.minimum(0.7 + wide - np.abs(around - 18), np.minimum(plane.y - 2, 11 - np.abs(plane.z - 3)))
    quadrigeminal = ellipsoid(plane, (0, 27, 8), (8 + wide, 3 + wide, 7))
    pontine = ellipsoid(plane, (0, -3, -22), (15, 2.5 + wide, 13))
    magna = ellipsoid(plane, (0, 62, -44), (12, 6 + wide, 12))
    course = plane.y + 14 - 0.45 * (pair.x - 45) - 0.75 * (plane.z - 5)
    sylvian = np.minimum(0.9 + wide - np.abs(course), np.minimum(pair.x - 36, 15 - np.abs(plane.z - 6)))
    bowed = pair.x - 35 - (plane.y + 6) ** 2 / 110
    insula = np.minimum(0.6 + wide - np.abs(bowed), np.minimum(19 - np.abs(plane.y + 6), 13 - np.abs(plane.z - 12)))
    return np.maximum.reduce([star, crescent, quadrigeminal, pontine, magna, sylvian, insula])


def _folds(brain: Brain, plane: Plane, shell: Shell, below: Map) -> tuple[Map, Map]:
    """Sulci, and the grey ribbon beside them: both follow the zero crossings of smooth noise.

    The noise lives in (angle, depth), which folds radially, and toward the vertex in the plane.
    """
    angle = np.arctan2(plane.x, plane.y - 5) * np.float32(FOLDS_AROUND / (2 * np.pi))
    radial = cv2.remap(
        brain.radial.at(plane.height_mm),
        angle,
        shell.inner / FOLD_DEPTH_MM + 1,
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_WRAP,
    )
    high = ramp(plane.z - 52, 40.0)
    noise = (1 - high) * radial + high * brain.plain.over(plane) + 0.25 * brain.fine.over(plane)
    line = np.abs(noise) / (gradient(noise, plane.pixel_mm) + np.float32(0.03))
    fading = np.clip(1 - shell.cavity / brain.fold_mm, 0, 1)
    half_width = (0.45 + 1.5 * brain.age**1.4) * fading * (1 - 0.75 * below)
    width = plane.pixel_mm + 0.1 * plane.thickness_mm
    folds = ramp(half_width - line, width) * np.minimum(1, 2 * half_width / width)
    ribbon = ramp(half_width + RIBBON_MM - line, 1.5) * np.sqrt(np.sqrt(fading))
    return folds, ribbon * (1 - 0.5 * below)


def _fissure(brain: Brain, plane: Plane, shell: Shell) -> Map:
    """Between the hemispheres."""
    half_width = 0.7 + 1.3 * brain.age
    return (
        ramp(half_width - np.abs(plane.x), plane.pixel_mm)
        * ramp(33 - shell.inner, 6.0)
        * ramp(plane.z - 4, 10.0)
        * (0.3 + 0.5 * brain.age)
    )


def _paint_membranes(hu: Map, brain: Brain, plane: Plane, shell: Shell, tentorium: Map) -> None:
    wobble = np.float32(0.8) * brain.texture.at(plane.height_mm)[0, 0]
    sheet = ramp(0.75 - np.abs(plane.x - wobble * bump(plane.y, 0, 40)), plane.pixel_mm)
    paint(hu, sheet * ramp(falx_reach(plane, shell), 4.0) * ramp(plane.z - 8, 12.0), brain.white_hu + 22)
    steep = plane.thickness_mm + plane.pixel_mm
    roof = ramp(0.6 - np.abs(plane.z - tentorium), steep) * ramp(plane.y - 10, 10.0) * ramp(np.abs(plane.x) - 6, 4.0)
    paint(hu, 0.5 * roof, brain.white_hu + 18)
    sinus = ramp(np.minimum(4.5 - 0.6 * shell.inner - np.abs(plane.x), plane.z - 15), 1.5)
    paint(hu, sinus, brain.white_hu + 26)
