"""Fresh blood: where each of the five kinds lies, and which fraction of each pixel it fills."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from ich.data.phantom.brain import Tissue, falx_reach, tentorium_height
from ich.data.phantom.difficulty import Difficulty
from ich.data.phantom.field import Map, Noise, Plane, Point, distance, ellipsoid, ramp
from ich.data.phantom.skull import WIDEST_MM, Shell
from ich.findings import KINDS

CORE = 0.4
"""More than this fraction of blood counts as the bleed's core, which decides on drawing and label."""
NOWHERE_MM = -9.0

Filled = Float32[np.ndarray, "bleeds height width"]


class Site(NamedTuple):
    """What a bleed meets in a slice."""

    plane: Plane
    shell: Shell
    tissue: Tissue


@runtime_checkable
class Bleed(Protocol):
    """One bleed of a study: its density in HU, its centre, and how far it pushes the brain away from there."""

    @property
    def kind(self) -> str: ...
    @property
    def hu(self) -> float: ...
    @property
    def centre(self) -> Point: ...
    @property
    def push_mm(self) -> float: ...
    def fraction(self, site: Site) -> Map:
        """The fraction of each pixel that it would fill, were it alone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Epidural:
    """A lens between skull and dura, held by the sutures."""

    hu: float
    centre: Point
    radius_mm: float
    depth_mm: float
    kind: str = "epidural"

    @property
    def push_mm(self) -> float:
        return min(8.0, self.depth_mm * self.radius_mm / 80)

    def fraction(self, site: Site) -> Map:
        def inside(plane: Plane, inner: Map) -> Map:
            return self.depth_mm * (1 - (distance(plane, self.centre) / self.radius_mm) ** 2) - inner

        return _average(site, inside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subdural:
    """A crescent over one hemisphere, or a sheet along the falx or on the tentorium."""

    hu: float
    centre: Point
    length_mm: float
    height_mm: float
    depth_mm: float
    where: str
    kind: str = "subdural"

    @property
    def push_mm(self) -> float:
        return min(9.0, self.depth_mm * 0.75 - 1) if self.where == "convexity" else 0.0

    def fraction(self, site: Site) -> Map:
        side = np.float32(np.sign(self.centre[0]))

        def inside(plane: Plane, inner: Map) -> Map:
            along = (plane.y - self.centre[1]) / self.length_mm
            up = (plane.z - self.centre[2]) / self.height_mm
            out = along**2 + up**2
            depth = self.depth_mm * np.sqrt(np.clip(1 - out, 0, None))
            here = plane.x * side
            if self.where == "falx":
                sheet = np.minimum(np.minimum(here - 0.7, depth - here), falx_reach(plane, site.shell))
            elif self.where == "tentorium":
                over = plane.z - tentorium_height(plane) + 1
                sheet = np.minimum(np.minimum(over, depth - over), np.minimum(here - 4, plane.y - 14))
            else:
                sheet = np.minimum(depth - inner, here - 3)
            return np.where(out < 1, sheet, np.float32(NOWHERE_MM))

        return _average(site, inside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subarachnoid:
    """Blood in the fluid of the sulci or of the basal cisterns, inside a soft ball."""

    hu: float
    centre: Point
    radius_mm: float
    filling: float
    patches: Noise
    push_mm: float = 0.0
    kind: str = "subarachnoid"

    def fraction(self, site: Site) -> Map:
        reach = self.radius_mm * (1 + 0.12 * self.patches.over(site.plane))
        soft = ramp(reach - distance(site.plane, self.centre), 9.0)
        return np.clip(self.filling * site.tissue.sulci * soft, 0, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intraventricular:
    """A level in a patient lying on the back, a cast of one or both lateral ventricles, or of the third and fourth."""

    hu: float
    where: str
    level_mm: float
    side: float
    centre: Point = (0.0, 10.0, 22.0)
    push_mm: float = 0.0
    kind: str = "intraventricular"

    def fraction(self, site: Site) -> Map:
        soft = site.plane.pixel_mm + 0.35 * site.plane.thickness_mm
        lateral, middle = site.tissue.lateral, site.tissue.middle
        if self.where == "level":
            return ramp(np.minimum(lateral, site.plane.y - self.level_mm), soft)
        if self.where == "middle":
            return ramp(middle, soft)
        if self.where == "one":
            lateral = np.minimum(lateral, site.plane.x * np.float32(self.side) - 1)
        return ramp(lateral + 0.4, soft)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intraparenchymal:
    """Lobes of blood in the brain's substance, with a ring of oedema."""

    hu: float
    lobes: tuple[tuple[Point, Point], ...]
    roughness: Noise
    oedema_mm: float
    kind: str = "intraparenchymal"

    @property
    def centre(self) -> Point:
        return self.lobes[0][0]

    @property
    def push_mm(self) -> float:
        radius = float(np.prod(self.lobes[0][1])) ** (1 / 3)
        return min(8.0, (radius / 16) ** 3 * 2.5) if abs(self.centre[0]) > 6 else 0.0

    def inside_mm(self, plane: Plane) -> Map:
        """The distance inside its surface, which the skull does not bound."""
        rough = 0.21 * min(self.lobes[0][1]) * self.roughness.over(plane)
        return np.maximum.reduce([ellipsoid(plane, *lobe) for lobe in self.lobes]) + rough

    def fraction(self, site: Site) -> Map:
        return _average(site, lambda plane, inner: np.minimum(self.inside_mm(plane), inner - 1.5))


def fill(bleeds: tuple[Bleed, ...], site: Site, cavity: Map, difficulty: Difficulty) -> Filled:
    """The fraction of each pixel that each bleed fills; what one has taken the next cannot have.

    Of a kind with too small a core in this slice nothing is left: it is neither drawn nor labelled.
    """
    room = cavity.copy()
    filled = np.zeros((len(bleeds), *cavity.shape), np.float32)
    for place, bleed in enumerate(bleeds):
        filled[place] = np.minimum(bleed.fraction(site), room) if _may_reach(bleed, site.plane) else 0
        room -= filled[place]
    found = set(found_kinds(bleeds, filled, site.plane.pixel_mm, difficulty))
    for place, bleed in enumerate(bleeds):
        if bleed.kind not in found:
            filled[place] = 0
    return filled


def found_kinds(bleeds: tuple[Bleed, ...], filled: Filled, pixel_mm: float, difficulty: Difficulty) -> tuple[str, ...]:
    """The kinds whose core is large enough to be seen."""
    found = []
    for kind in KINDS:
        core = sum(int((part > CORE).sum()) for bleed, part in zip(bleeds, filled, strict=True) if bleed.kind == kind)
        smallest = difficulty.smallest_subarachnoid_mm2 if kind == "subarachnoid" else difficulty.smallest_mm2
        if core * pixel_mm**2 >= smallest:
            found.append(kind)
    return tuple(found)


def _may_reach(bleed: Bleed, plane: Plane) -> bool:
    """Cheaply: no bleed is larger than 90 mm."""
    return bool(plane.z.min() - 90 < bleed.centre[2] < plane.z.max() + 90)


def _average(site: Site, inside: Callable[[Plane, Map], Map]) -> Map:
    """Over three planes of the slice: a bleed's edge may be anything but a plane.

    `inside` is told the depth under the skull, which upward shrinks above the widest level and grows below it.
    """
    step = site.plane.thickness_mm / 3
    inward = np.where(site.plane.z > WIDEST_MM, -site.shell.upright, site.shell.upright)
    parts = [
        ramp(inside(site.plane.raised(up), site.shell.inner + up * inward), site.plane.pixel_mm)
        for up in (-step, 0.0, step)
    ]
    return (parts[0] + parts[1] + parts[2]) / 3
