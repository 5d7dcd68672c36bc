"""The scanner: how the head lies in it, its holder, its noise; from a coarse map of HU to a slice of int16."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Int16

from ich.ct.dicom import HU_MAX, HU_MIN
from ich.data.phantom.difficulty import Difficulty
from ich.data.phantom.face import AIR_HU
from ich.data.phantom.field import Map, Noise, Plane, draw_noise, paint, ramp, stretch

SIDE, COARSE = 512, 256
"""Pixels a side of the slice, and of the maps that it is made from."""
COMMON_SPACING_MM, OTHER_SPACINGS_MM = 0.488281, (0.425781, 0.457031, 0.460938, 0.464844, 0.494141)
"""As in RSNA 2019: fields of 250 mm, and of 218 to 253."""
BAND_SD = 0.3264
"""Deviation of white noise after `_grain`'s filters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """How one study was scanned.

    `tilt` is the gantry's, in radians; `roll`, `pitch` and `shift_mm` are the head's in it, `size` is the head's, 1 on
    average.
    """

    spacing_mm: float
    tilt: float
    size: float
    roll: float
    pitch: float
    shift_mm: tuple[float, float]
    thickness_mm: float
    noise_hu: float
    offset_hu: float
    holder: "Holder | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A U under the head, and foam between."""

    width_mm: float
    depth_mm: float
    thick_mm: float
    top_mm: float
    hu: float
    foam_hu: float
    foam: Noise


def draw_scanner(random: np.random.Generator, difficulty: Difficulty, *, gap_mm: float, noise: float) -> Scanner:
    median, deviation = difficulty.noise_hu
    spacing = COMMON_SPACING_MM if random.random() < 0.62 else float(random.choice(OTHER_SPACINGS_MM))
    tilted = random.random() < 0.49
    return Scanner(
        spacing_mm=spacing,
        tilt=float(np.deg2rad(np.clip(random.normal(-17, 6), -27, 9))) if tilted else 0.0,
        size=random.uniform(0.93, 1.06) * (spacing / COMMON_SPACING_MM) ** 0.25,  # a small field for a small head
        roll=random.normal(0, np.deg2rad(4)),
        pitch=float(np.deg2rad(np.clip(random.normal(0, 6), -14, 14))),
        shift_mm=(random.normal(0, 4), random.normal(-6, 4)),
        thickness_mm=min(gap_mm, 5.0),
        noise_hu=median * float(np.exp(deviation * np.clip(random.normal(), -1.5, 3))) * noise,
        offset_hu=random.normal(0, difficulty.offset_hu),
        holder=_draw_holder(random) if random.random() < 0.87 else None,
    )


def place_head(scanner: Scanner, height_mm: float) -> Plane:
    """The slice `height_mm` (at the head's axis) above the sella, in the head's own coordinates."""
    across, down = _pixels(scanner)
    across, down = across - np.float32(scanner.shift_mm[0]), down - np.float32(scanner.shift_mm[1])
    cosine, sine = np.float32(np.cos(scanner.roll) / scanner.size), np.float32(np.sin(scanner.roll) / scanner.size)
    y = down * cosine - across * sine
    return Plane(
        x=across * cosine + down * sine,
        y=y,
        z=np.float32(height_mm / scanner.size) + y * np.float32(np.tan(scanner.pitch)),
        height_mm=height_mm / scanner.size,
        pixel_mm=scanner.spacing_mm * SIDE / COARSE / scanner.size,
        thickness_mm=scanner.thickness_mm / scanner.size,
    )


def surround(hu: Map, body: Map, scanner: Scanner, height_mm: float) -> Map:
    """The body in air, on its holder."""
    around = np.full_like(hu, AIR_HU)
    if scanner.holder:
        _paint_holder(around, scanner.holder, *_pixels(scanner), scanner.spacing_mm * SIDE / COARSE, height_mm)
    paint(around, body, hu)
    return around


def scan(hu: Map, scanner: Scanner, random: np.random.Generator, *, louder: float) -> Int16[np.ndarray, "512 512"]:
    """Blur, noise, the study's offset, whole numbers."""
    fine: Map = cv2.resize(hu, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)  # cubic would ring inside the skull
    fine = cv2.GaussianBlur(fine, (0, 0), 0.6)
    fine += _grain(random) * np.float32(scanner.noise_hu * louder) + np.float32(scanner.offset_hu)
    return np.rint(np.clip(fine, HU_MIN, HU_MAX)).astype(np.int16)


def in_circle() -> Bool[np.ndarray, "512 512"]:
    """Which pixels the scanner reconstructs: a circle that touches the borders."""
    centre = np.arange(SIDE) + 0.5 - SIDE / 2
    return np.hypot(centre[:, None], centre[None, :]) <= SIDE / 2


def _pixels(scanner: Scanner) -> tuple[Map, Map]:
    """Millimetres from the slice's centre, to the right of the picture and down."""
    line = (np.arange(COARSE, dtype=np.float32) + np.float32(0.5 - COARSE / 2)) * np.float32(
        scanner.spacing_mm * SIDE / COARSE
    )
    across, down = np.meshgrid(line, line)
    return across, down


def _grain(random: np.random.Generator) -> Map:
    """Noise of deviation 1 with CT's spectrum: little at low frequencies, none at the highest."""
    white = random.standard_normal((SIDE, SIDE), dtype=np.float32)
    smooth = cv2.GaussianBlur(white, (0, 0), 0.8)
    grain: Map = (smooth - np.float32(0.6) * cv2.blur(smooth, (7, 7))) / np.float32(BAND_SD)
    return grain


def _draw_holder(random: np.random.Generator) -> Holder:
    return Holder(
        width_mm=random.uniform(92, 112),
        depth_mm=random.uniform(100, 114),
        thick_mm=random.uniform(2.6, 3.8),
        top_mm=random.uniform(-25, 70),
        hu=random.uniform(90, 350),
        foam_hu=random.uniform(-985, -890),
        foam=draw_noise(random, 30, 30, step_mm=10),
    )


def _paint_holder(hu: Map, holder: Holder, across: Map, down: Map, pixel_mm: float, height_mm: float) -> None:
    reach = np.abs(across / holder.width_mm) ** 2.6 + np.abs((down + 6) / holder.depth_mm) ** 2.6
    inside = (1 - reach ** np.float32(1 / 2.6)) * holder.depth_mm
    open_end = ramp(down - np.float32(holder.top_mm), 3.0)
    foam = ramp(inside, 3.0) * open_end * ramp(down - np.float32(holder.top_mm / 2 + 10), 25.0)
    paint(hu, foam, holder.foam_hu + 25 * stretch(holder.foam.at(height_mm), hu.shape))
    paint(hu, ramp(holder.thick_mm / 2 - np.abs(inside), pixel_mm) * open_end, holder.hu)
