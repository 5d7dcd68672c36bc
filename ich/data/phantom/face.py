"""Everything of a head outside the cavity: bone of vault and base, face, scalp, ears."""

from dataclasses import dataclass

import numpy as np

from ich.data.phantom.field import Map, Noise, Plane, bump, capsule, draw_noise, ellipsoid, mirrored, paint, ramp
from ich.data.phantom.skull import Shell, Skull

AIR_HU = -1003.0
TABLE_HU, MARROW_HU = 1560.0, 960.0
PLATE_MM, PLATE_HU = 3.5, 820.0
MUSCLE_HU, SKIN_HU = 52.0, 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """What a head has outside its cavity: thicknesses in mm, HU, how much of it is filled with air."""

    scalp_mm: float
    fat_hu: float
    neck_mm: float
    dense_hu: float
    bone: float
    sinus_mm: float
    ears_mm: float
    cells: Noise
    strands: Noise


def draw_face(random: np.random.Generator) -> Face:
    return Face(
        scalp_mm=random.uniform(4, 7),
        fat_hu=random.uniform(-90, -40),
        neck_mm=random.uniform(8, 18),
        dense_hu=random.uniform(1450, 1950),
        bone=random.uniform(0.92, 1.22),
        sinus_mm=random.uniform(0, 9),
        ears_mm=random.uniform(0, 9),
        cells=draw_noise(random, 64, 64, step_mm=4),
        strands=draw_noise(random, 22, 22, step_mm=8),
    )


def cut_face(face: Face, skull: Skull, plane: Plane, shell: Shell) -> tuple[Map, Map]:
    """HU of a slice as if the cavity were solid, and the fraction of each pixel inside the body."""
    pair = mirrored(plane)
    vault_end = _vault_end(plane)
    outside = -shell.outer
    temple = 8 * bump(plane.y, -18, 26) * ramp(34 - plane.z, 30.0) * bump(pair.x, 70, 30)
    neck = face.neck_mm * ramp(plane.y - 20, 30.0) * ramp(-12 - plane.z, 30.0)
    surface = face.scalp_mm + temple + neck - outside
    surface = np.maximum(surface, _ears_and_nose(face, plane, pair))
    hu = _soft(face, plane, surface, outside, temple + neck)
    if plane.z.min() < 12:
        _paint_base(hu, face, plane, pair, shell)
    _paint_vault(hu, face, skull, plane, shell, vault_end)
    body = ramp(surface, plane.pixel_mm + plane.thickness_mm * np.minimum(shell.upright, 1))
    return hu, body


def _vault_end(plane: Plane) -> Map:
    """The height where the vault ends: brows in front, temples, neck behind."""
    return np.where(plane.y < 0, -8 - 24 * np.clip((plane.y + 70) / 40, 0, 1), -32 - 22 * np.clip(plane.y / 50, 0, 1))


def _soft(face: Face, plane: Plane, surface: Map, outside: Map, muscle_mm: Map) -> Map:
    """Skin, fat, muscle."""
    strands = face.strands.over(plane)
    hu = np.full_like(plane.x, MUSCLE_HU) + 6 * strands
    fatty = ramp(strands - 0.7, 0.8) * ramp(-outside, 4.0)
    paint(hu, 0.8 * fatty, face.fat_hu)
    paint(hu, ramp(outside - 0.5 - muscle_mm, 2.0), face.fat_hu + 8 * strands)
    paint(hu, ramp(1.6 - surface, plane.pixel_mm), SKIN_HU)
    return hu


def _paint_vault(hu: Map, face: Face, skull: Skull, plane: Plane, shell: Shell, vault_end: Map) -> None:
    """Two dense tables with marrow between; the frontal sinus."""
    depth = shell.outer / skull.thickness
    bone = face.bone * (TABLE_HU - MARROW_HU * bump(depth, 0.5, 0.22))
    width = plane.pixel_mm + plane.thickness_mm * shell.upright
    there = ramp(shell.outer, width) * ramp(plane.z - vault_end, 6.0)
    lining = np.maximum(ramp(skull.thickness + 0.6 - shell.outer, plane.pixel_mm), ramp(PLATE_MM + shell.cavity, 2.0))
    paint(hu, there * lining, bone)
    sinus = ellipsoid(plane, (0, -84, -1), (14 + face.sinus_mm, 3 + face.sinus_mm / 3, 6 + face.sinus_mm)) - 0.8
    if face.sinus_mm > 3:
        paint(hu, ramp(sinus + 2.0, 1.5) * ramp(shell.outer - 1, 1.0) * (1 - ramp(shell.cavity, 2.0)), 950 * face.bone)
        paint(hu, ramp(sinus, 1.5) * ramp(shell.outer - 2.5, 1.0) * (1 - ramp(shell.cavity + 2, 2.0)), AIR_HU)


def _paint_base(hu: Map, face: Face, plane: Plane, pair: Plane, shell: Shell) -> None:
    """Under the cavity, from soft to hard."""
    cells = face.cells.over(plane)
    _paint_sinuses(hu, pair, cells)
    _paint_jaw(hu, face, plane, pair)
    inside = ramp(shell.outer - 1, 3.0)
    paint(hu, ramp(PLATE_MM + shell.above, 2.0) * ramp(-shell.above, 2.0) * inside, PLATE_HU * face.bone + 150 * cells)
    _paint_orbits(hu, face, plane, pair)
    _paint_petrous(hu, face, plane, pair, shell, cells)
    spine = np.abs(np.hypot(plane.x, plane.y - 38) - 22)
    paint(hu, ramp(5 - spine, 2.0) * ramp(-62 - plane.z, 8.0), 700 * face.bone)
    paint(hu, ramp(ellipsoid(plane, (0, 38, -78), (15, 13, 40)), 2.0), 12.0)
    paint(hu, ramp(ellipsoid(plane, (0, 36, -78), (8, 6, 40)), 2.0), 33.0)


def _paint_orbits(hu: Map, face: Face, plane: Plane, pair: Plane) -> None:
    socket = capsule(pair, (31, -72, -24), (14, -34, -22), radius=(19, 5))
    paint(hu, ramp(socket + 2.5, 2.0) * ramp(-58 - plane.y + 0.6 * np.abs(pair.x - 31), 60.0), 700 * face.bone)
    paint(hu, ramp(socket, 1.5), -80.0)
    paint(hu, ramp(capsule(pair, (31, -72, -24), (14, -36, -22), radius=(2, 2)), 1.5), 35.0)
    for off in (-9.0, 9.0):
        paint(hu, ramp(capsule(pair, (31 + off, -70, -24), (15 + off / 4, -38, -22), radius=(1.6, 1.4)), 1.5), 50.0)
    globe = ellipsoid(pair, (32, -76, -24), (12, 12, 12))
    paint(hu, ramp(globe, 1.2), 48.0)
    paint(hu, ramp(globe - 1.2, 1.2), 10.0)
    paint(hu, ramp(ellipsoid(pair, (32, -84, -24), (4.5, 2, 4.5)), 1.2), 75.0)


def _paint_sinuses(hu: Map, pair: Plane, cells: Map) -> None:
    """Air-filled spaces with thin walls: ethmoid, sphenoid, maxillary sinuses, nasal cavity, airway."""
    walls = ramp(0.16 - np.abs(cells), 0.2)
    for centre, radii, crossed in (
        ((0, -56, -22), (12, 24, 13), True),
        ((0, -20, -22), (13, 12, 9), False),
        ((26, -58, -54), (14, 16, 15), False),
        ((0, -58, -52), (13, 30, 20), True),
        ((0, -12, -66), (11, 8, 28), False),
    ):
        space = ellipsoid(pair, centre, radii)
        paint(hu, ramp(space + 2.2, 1.5), 520.0)
        paint(hu, ramp(space, 1.5), AIR_HU)
        if crossed:
            paint(hu, ramp(space, 1.5) * np.maximum(walls, ramp(1 - pair.x, 1.2)), 240.0)


def _paint_jaw(hu: Map, face: Face, plane: Plane, pair: Plane) -> None:
    arch = capsule(pair, (44, -70, -42), (68, -40, -40), radius=(4, 3))
    zygoma = capsule(pair, (68, -40, -40), (66, -6, -36), radius=(3, 3))
    ramus = capsule(pair, (52, -8, -42), (50, -12, -95), radius=(5, 4.5))
    wing = capsule(pair, (18, -28, -30), (52, -46, -22), radius=(4, 3))
    teeth = np.minimum(4 - np.abs(np.hypot(plane.x / 0.8, (plane.y + 46) / 1.1) - 34), -45 - plane.y)
    bones = np.maximum.reduce([arch, zygoma, ramus, wing])
    paint(hu, ramp(bones, 1.8), 850 * face.bone)
    paint(hu, ramp(bones - 2.0, 1.8), 420 * face.bone)
    paint(hu, ramp(teeth, 1.5) * ramp(-72 - plane.z, 6.0), 1500 * face.bone)


def _paint_petrous(hu: Map, face: Face, plane: Plane, pair: Plane, shell: Shell, cells: Map) -> None:
    """The densest bone of the body, the air cells behind the ear, the ear canal."""
    under = ramp(1 - shell.above, 2.0) * ramp(shell.outer, 2.0)
    pyramid = capsule(pair, (10, 6, -18), (54, 22, -18), radius=(6, 11))
    paint(hu, ramp(pyramid, 3.0) * under, 780 * face.bone + 160 * cells)
    paint(hu, ramp(capsule(pair, (24, 12, -16), (42, 18, -15), radius=(3.5, 4.5)), 3.0) * under, face.dense_hu)
    mastoid = ellipsoid(pair, (57, 27, -24), (12, 14, 19))
    paint(hu, ramp(mastoid, 3.0) * under, np.where(cells > 0, np.float32(620), np.float32(-680)))
    canal = capsule(pair, (44, 12, -24), (92, 10, -26), radius=(3.2, 3.6))
    paint(hu, ramp(canal, 1.8), AIR_HU)
    clivus = capsule(plane, (0, -4, -14), (0, 20, -50), radius=(7, 5))
    paint(hu, ramp(clivus, 3.0) * under, 620 * face.bone)


def _ears_and_nose(face: Face, plane: Plane, pair: Plane) -> Map:
    ear = ellipsoid(pair, (76 + face.ears_mm, 14 + face.ears_mm, -14), (5, 14, 27))
    hollow = ellipsoid(pair, (79 + face.ears_mm, 10, -16), (4, 7, 13))
    nose = capsule(plane, (0, -84, -22), (0, -102, -56), radius=(6, 13))
    return np.maximum(np.minimum(ear, -hollow), nose)
