"""The five kinds of blood: where each lies, and the rule of area that decides on drawing and label."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from ich.data.phantom import scanner
from ich.data.phantom.bleeding import CORE, Filled, Intraventricular, Site, Subdural, fill, found_kinds
from ich.data.phantom.brain import cut_brain
from ich.data.phantom.difficulty import DIFFICULTIES, Difficulty
from ich.data.phantom.field import Map, ramp
from ich.data.phantom.injury import draw_bleeds
from ich.data.phantom.skull import cut_skull
from ich.data.phantom.study import Study, draw_study
from ich.findings import KINDS

EVERY_SIZE = replace(DIFFICULTIES["base"], smallest_mm2=0.1, smallest_subarachnoid_mm2=0.1)
"""Less than one pixel."""


def study_with(*kinds: str, number: int = 0) -> Study:
    return draw_study(seed=3, number=number, kinds=kinds, slices=20, difficulty="base", noise=1.0)


def cut(study: Study, place: int) -> tuple[Site, Map]:
    """What bleeds meet in a slice of a study, and the fraction of each pixel that is cavity."""
    plane = scanner.place_head(study.scanner, study.heights_mm[place])
    shell = cut_skull(study.skull, plane)
    return Site(plane, shell, cut_brain(study.brain, plane, shell)), ramp(shell.cavity, plane.pixel_mm)


@cache
def widest(kind: str, number: int = 0) -> tuple[Study, Site, Map, Filled]:
    """The slice of a study that has most of its blood."""
    study = study_with(kind, number=number)
    slices = [cut(study, place) for place in range(4, 20, 2)]
    filled = [fill(study.bleeds, site, cavity, EVERY_SIZE) for site, cavity in slices]
    most = int(np.argmax([float(part.sum()) for part in filled]))
    return study, *slices[most], filled[most]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(3))
def test_blood_lies_in_the_cavity(kind: str, number: int) -> None:
    _, _, cavity, filled = widest(kind, number)
    assert filled.sum() > 5
    assert filled.min() >= 0
    assert (filled.sum(0) <= cavity + 1e-6).all()


@pytest.mark.parametrize("number", range(3))
def test_an_epidural_bleed_is_a_lens_against_the_skull(number: int) -> None:
    study, site, _, filled = widest("epidural", number)
    core = filled[0] > CORE
    assert site.shell.inner[core].min() < 2
    assert site.shell.inner[core].max() <= study.bleeds[0].depth_mm + 2  # type: ignore[attr-defined]
    assert (np.sign(site.plane.x[core]) == np.sign(study.bleeds[0].centre[0])).mean() > 0.95


@pytest.mark.parametrize("number", range(3))
def test_a_subdural_bleed_keeps_to_its_side(number: int) -> None:
    study, site, _, filled = widest("subdural", number)
    core = filled[0] > CORE
    assert (np.sign(site.plane.x[core]) == np.sign(study.bleeds[0].centre[0])).all()


@pytest.mark.parametrize(("where", "farthest_mm"), [("convexity", 8.0), ("falx", 31.0)])
def test_a_subdural_bleed_lies_along_the_skull_or_the_falx(where: str, farthest_mm: float) -> None:
    bleed = Subdural(hu=70, centre=(1.0, 0.0, 45.0), length_mm=60, height_mm=40, depth_mm=6, where=where)
    study = study_with()
    site, cavity = cut(study, 14)
    core = fill((bleed,), site, cavity, EVERY_SIZE)[0] > CORE
    assert core.sum() > 50
    assert site.shell.inner[core].max() < farthest_mm + 2
    across = site.plane.x[core]
    assert across.max() < 8 if where == "falx" else across.max() > 40


@pytest.mark.parametrize("number", range(3))
def test_intraventricular_blood_is_in_the_ventricles_and_subarachnoid_blood_is_not(number: int) -> None:
    _, site, _, filled = widest("intraventricular", number)
    ventricles = np.maximum(site.tissue.lateral, site.tissue.middle)
    assert ventricles[filled[0] > CORE].min() > -2
    _, site, _, filled = widest("subarachnoid", number)
    ventricles = np.maximum(site.tissue.lateral, site.tissue.middle)
    assert ventricles[filled[0] > CORE].max() < 2
    assert site.tissue.sulci[filled[0] > CORE].min() > 0.2


def test_a_level_of_blood_is_horizontal_as_the_patient_lies() -> None:
    study = study_with("intraventricular")
    bleed = Intraventricular(hu=70, where="level", level_mm=30.0, side=1.0)
    tops = []
    for place in range(20):
        site, cavity = cut(study, place)
        core = fill((bleed,), site, cavity, EVERY_SIZE)[0] > CORE
        tops += [float(site.plane.y[core].min())] if core.any() else []
    assert tops
    assert min(tops) > 30 - 2  # y points backward, and so down in a patient on the back


@pytest.mark.parametrize("number", range(3))
def test_intraparenchymal_blood_does_not_touch_the_skull(number: int) -> None:
    _, site, _, filled = widest("intraparenchymal", number)
    assert site.shell.inner[filled[0] > CORE].min() > 0


def test_what_one_bleed_has_taken_the_next_cannot_have() -> None:
    study, site, cavity, alone = widest("intraventricular")
    twice = fill((study.bleeds[0], study.bleeds[0]), site, cavity, EVERY_SIZE)
    assert (twice[0] == alone[0]).all()
    assert (twice.sum(0) <= cavity + 1e-6).all()
    assert not ((twice[1] > CORE) & (twice[0] > 1 - CORE)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_blood_just_over_the_smallest_area_is_drawn_and_just_under_it_is_not(kind: str) -> None:
    study, site, cavity, filled = widest(kind)
    area_mm2 = float((filled[0] > CORE).sum()) * site.plane.pixel_mm**2
    assert area_mm2 > 0

    def with_smallest(mm2: float) -> Difficulty:
        knob = "smallest_subarachnoid_mm2" if kind == "subarachnoid" else "smallest_mm2"
        return replace(EVERY_SIZE, **{knob: mm2})

    enough, too_small = with_smallest(area_mm2), with_smallest(area_mm2 + 0.01)
    kept = fill(study.bleeds, site, cavity, enough)
    assert (kept == filled).all()
    assert found_kinds(study.bleeds, kept, site.plane.pixel_mm, enough) == (kind,)
    left = fill(study.bleeds, site, cavity, too_small)
    assert not left.any()
    assert found_kinds(study.bleeds, left, site.plane.pixel_mm, too_small) == ()


def test_large_bleeds_push_the_midline_and_fluid_does_not() -> None:
    for kind in ("epidural", "intraparenchymal", "subdural"):
        random = np.random.default_rng(0)
        pushes = [draw_bleeds(random, (kind,), DIFFICULTIES["base"])[0].push_mm for _ in range(20)]
        assert max(pushes) > 2
        assert max(pushes) <= 9
    for kind in ("subarachnoid", "intraventricular"):
        assert study_with(kind).bleeds[0].push_mm == 0
