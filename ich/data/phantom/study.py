"""A study: everything drawn for one patient, and each slice rendered from it on its own."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int16

from ich.data.phantom import lookalike, scanner
from ich.data.phantom.bleeding import Bleed, Filled, Intraparenchymal, Site, fill, found_kinds
from ich.data.phantom.brain import Brain, cut_brain, draw_brain, push
from ich.data.phantom.difficulty import DIFFICULTIES, Difficulty
from ich.data.phantom.face import Face, cut_face, draw_face
from ich.data.phantom.field import Map, Plane, bump, paint, ramp
from ich.data.phantom.injury import draw_bleeds
from ich.data.phantom.skull import VERTEX_MM, Skull, cut_skull, draw_skull
from ich.findings import KINDS

NOISE_STREAM = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One patient's head and how it was scanned; `heights_mm` are the slices', from the neck upward."""

    stream: tuple[int, int]
    difficulty: Difficulty
    scanner: scanner.Scanner
    skull: Skull
    brain: Brain
    face: Face
    bleeds: tuple[Bleed, ...]
    lookalikes: lookalike.Lookalikes
    heights_mm: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A slice: HU, the kinds that its voxels hold, and the fraction of blood of each kind (in the order of KINDS)."""

    hu: Int16[np.ndarray, "512 512"]
    kinds: tuple[str, ...]
    blood: Float32[np.ndarray, "5 256 256"]


def draw_study(*, seed: int, number: int, kinds: tuple[str, ...], slices: int, difficulty: str, noise: float) -> Study:
    """The study `number` of a cohort: a function of its arguments alone."""
    knobs = DIFFICULTIES[difficulty]
    random = np.random.default_rng([seed, number])
    gap_mm = 5.0 if 28 <= slices <= 42 else random.uniform(140, 170) / slices
    scanned = scanner.draw_scanner(random, knobs, gap_mm=gap_mm, noise=noise)
    top_mm = VERTEX_MM * scanned.size + random.uniform(-2, 9)
    return Study(
        stream=(seed, number),
        difficulty=knobs,
        scanner=scanned,
        skull=draw_skull(random, scanner.place_head(scanned, 0.0)),
        brain=draw_brain(random, widening=1.12 * knobs.bleed_scale if "intraventricular" in kinds else 1.0),
        face=draw_face(random),
        bleeds=draw_bleeds(random, kinds, knobs),
        lookalikes=lookalike.draw_lookalikes(random, knobs),
        heights_mm=tuple(top_mm - gap_mm * (slices - 1 - place) for place in range(slices)),
    )


def render(study: Study, place: int) -> Rendered:
    """The slice at this place of a study, from the neck upward."""
    random = np.random.default_rng([*study.stream, NOISE_STREAM, place])
    plane = scanner.place_head(study.scanner, study.heights_mm[place])
    shell = cut_skull(study.skull, plane)
    cavity = ramp(shell.cavity, plane.pixel_mm + plane.thickness_mm * shell.rise)
    hu, body = cut_face(study.face, study.skull, plane, shell)
    filled = np.zeros((len(study.bleeds), *cavity.shape), np.float32)
    if cavity.any():
        site = Site(plane, shell, cut_brain(study.brain, _pushed(study, plane), shell))
        filled = fill(study.bleeds, site, cavity, study.difficulty)
        soft = site.tissue.hu
        _paint_content(soft, study, site, cavity, filled, random)
        paint(hu, cavity, soft)
    lookalike.paint_streaks(hu, random, plane, study.difficulty.streaks)
    around = scanner.surround(hu, body, study.scanner, study.heights_mm[place])
    blood = np.zeros((len(KINDS), *cavity.shape), np.float32)
    for bleed, part in zip(study.bleeds, filled, strict=True):
        blood[KINDS.index(bleed.kind)] += part
    return Rendered(
        hu=scanner.scan(around, study.scanner, random, louder=1 + 0.25 * plane.basal),
        kinds=found_kinds(study.bleeds, filled, plane.pixel_mm, study.difficulty),
        blood=blood,
    )


def _paint_content(
    soft: Map, study: Study, site: Site, cavity: Map, filled: Filled, random: np.random.Generator
) -> None:
    """Over the brain, in place: the bloom of bone, look-alikes, then oedema and blood."""
    plane = site.plane
    soft += 5 * bump(site.shell.cavity, 0, 2.0)
    lookalike.paint_spot(soft, random, plane, site.shell, study.difficulty.blob_share)
    lookalike.paint_lookalikes(soft, study.lookalikes, plane, site.shell)
    texture = study.brain.texture.over(plane)
    for bleed in study.bleeds:
        if isinstance(bleed, Intraparenchymal):
            soft -= 9 * ramp(bleed.inside_mm(plane) + bleed.oedema_mm, 2.0)
    for bleed, part in zip(study.bleeds, filled, strict=True):
        if part.any():
            paint(soft, np.minimum(part / np.maximum(cavity, 0.01), 1), bleed.hu + 4 * texture)


def _pushed(study: Study, plane: Plane) -> Plane:
    for bleed in study.bleeds:
        if bleed.push_mm > 0:
            side = float(np.sign(bleed.centre[0]))
            plane = plane.pushed(push(side, bleed.push_mm, bleed.centre[1], bleed.centre[2], plane))
    return plane
