"""A study: a function of its arguments alone, whose labels are what its voxels hold."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from ich.data.phantom import scanner
from ich.data.phantom.bleeding import CORE, Intraparenchymal, Subdural
from ich.data.phantom.difficulty import DIFFICULTIES
from ich.data.phantom.study import Rendered, Study, draw_study, render
from ich.findings import KINDS

SLICES = 14
SMALLEST_MM2 = {kind: 30.0 if kind == "subarachnoid" else 12.0 for kind in KINDS}
"""Of base, as in Difficulty."""


def study_of(kinds: tuple[str, ...], number: int = 0, seed: int = 5) -> Study:
    return draw_study(seed=seed, number=number, kinds=kinds, slices=SLICES, difficulty="base", noise=1.0)


@cache
def rendered(kinds: tuple[str, ...], number: int = 0) -> tuple[Rendered, ...]:
    study = study_of(kinds, number)
    return tuple(render(study, place) for place in range(SLICES))


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS])
def test_labels_are_what_voxels_hold(kinds: tuple[str, ...]) -> None:
    """Both ways: what is labelled has a large enough core, and what is not has no blood at all."""
    study = study_of(kinds)
    labelled = 0
    for place, one in enumerate(rendered(kinds)):
        pixel_mm = scanner.place_head(study.scanner, study.heights_mm[place]).pixel_mm
        for kind, blood in zip(KINDS, one.blood, strict=True):
            area_mm2 = float((blood > CORE).sum()) * pixel_mm**2
            assert (kind in one.kinds) == (area_mm2 >= SMALLEST_MM2[kind]) == bool(blood.any())
        labelled += len(one.kinds)
    assert labelled >= 2
    assert any(not one.kinds for one in rendered(kinds))


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS])
def test_a_planned_kind_is_in_its_study_and_no_other_kind_is(kinds: tuple[str, ...]) -> None:
    assert {kind for one in rendered(kinds) for kind in one.kinds} == set(kinds)


def test_a_study_without_bleeds_has_no_label() -> None:
    assert all(one.kinds == () and not one.blood.any() for one in rendered(()))


def falx_study() -> Study:
    bleed = Subdural(hu=72, centre=(1.0, 0.0, 45.0), length_mm=60, height_mm=15, depth_mm=5, where="falx")
    return replace(study_of(()), bleeds=(bleed,))


@pytest.mark.parametrize("kind", ["subarachnoid", "intraventricular", "subdural"])
def test_unlabelled_slices_equal_those_of_the_same_head_without_its_bleed(kind: str) -> None:
    """Of bleeds that push nothing, so that all else stays: too small a bleed is not drawn, not even faintly."""
    study = falx_study() if kind == "subdural" else study_of((kind,))
    unhurt = replace(study, bleeds=())
    hurt = [render(study, place) for place in range(SLICES)]
    equal = [bool((one.hu == render(unhurt, place).hu).all()) for place, one in enumerate(hurt)]
    assert equal == [not one.kinds for one in hurt]
    assert set(equal) == {True, False}


@pytest.mark.parametrize("kind", ["epidural", "intraparenchymal", "intraventricular"])
def test_blood_has_the_density_of_its_bleed(kind: str) -> None:
    """Deep inside it, away from bone and brain; subdural and subarachnoid blood is too thin for that."""
    study = study_of((kind,))
    inside = []
    for one in rendered((kind,)):
        full = cv2.erode((one.blood[KINDS.index(kind)] > 0.95).astype(np.uint8), np.ones((5, 5)))
        inside += one.hu[np.repeat(np.repeat(full, 2, 0), 2, 1) > 0].tolist()
    assert len(inside) > 60
    assert np.median(inside) == pytest.approx(study.bleeds[0].hu + study.scanner.offset_hu, abs=4)


def test_oedema_darkens_the_brain_round_a_bleed_and_not_the_blood() -> None:
    study = study_of(("intraparenchymal",))
    bleed = study.bleeds[0]
    assert isinstance(bleed, Intraparenchymal)
    dry, wet = (replace(study, bleeds=(replace(bleed, oedema_mm=width_mm),)) for width_mm in (-99.0, 6.0))
    place = int(np.argmax([one.blood.sum() for one in rendered(("intraparenchymal",))]))
    change = render(wet, place).hu - render(dry, place).hu
    blood = np.repeat(np.repeat(render(dry, place).blood.sum(0), 2, 0), 2, 1)
    assert change[blood == 0].min() in (-10, -9)
    assert np.median(change[blood == 1]) == 0
    assert (change <= 0).all()


def test_bleeding_comes_in_runs_of_slices_not_in_single_ones() -> None:
    with_blood = [bool(one.kinds) for one in rendered(("intraparenchymal", "subdural"), 1)]
    assert np.count_nonzero(np.diff([False, *with_blood, False])) <= 4


def test_a_slice_is_rendered_on_its_own() -> None:
    """In whatever order, and without its neighbours."""
    study = study_of(("subdural",))
    for place in (9, 3):
        assert (render(study, place).hu == rendered(("subdural",))[place].hu).all()


def test_another_seed_number_or_place_is_another_picture() -> None:
    drawn = [(5, 0, 9), (6, 0, 9), (5, 1, 9), (5, 0, 10)]
    pictures = [render(study_of((), number, seed), place).hu for seed, number, place in drawn]
    for other in pictures[1:]:
        assert (pictures[0] != other).mean() > 0.5


def test_slices_run_from_the_neck_to_the_vertex() -> None:
    study = study_of(())
    heights = np.array(study.heights_mm)
    assert np.diff(heights) == pytest.approx(heights[1] - heights[0])
    assert 140 <= (heights[1] - heights[0]) * SLICES <= 170
    soft = [(one.hu > -200).mean() for one in rendered(())]
    assert max(soft) > 0.25
    assert soft[-1] < 0.15


@pytest.mark.parametrize(("slices", "gap_mm"), [(28, 5.0), (34, 5.0), (42, 5.0)])
def test_as_many_slices_as_usual_are_5_mm_apart(slices: int, gap_mm: float) -> None:
    study = draw_study(seed=0, number=0, kinds=(), slices=slices, difficulty="base", noise=1.0)
    assert np.diff(study.heights_mm) == pytest.approx(gap_mm)


def test_a_head_has_every_tissue_of_a_head() -> None:
    """Of pixels in RSNA 2019: air 60 %, brain (15 .. 45 HU) 12 %, bone (over 300 HU) 5 % (over 1,400: 0.5 %)."""
    hu = np.stack([one.hu for one in rendered(())])
    assert 0.4 < (hu < -950).mean() < 0.75
    assert 0.06 < ((hu > 15) & (hu < 45)).mean() < 0.3
    assert 0.02 < (hu > 300).mean() < 0.12
    assert 0.001 < (hu > 1400).mean() < 0.02


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_blood_can_be_seen_but_not_always(difficulty: str) -> None:
    """None is lost in grey matter and noise; some, against the skull, is as white as bone in a window of 0 .. 80 HU."""
    densities = []
    for number in range(12):
        study = draw_study(seed=0, number=number, kinds=("epidural",), slices=20, difficulty=difficulty, noise=1.0)
        blood_hu = study.bleeds[0].hu
        assert blood_hu - study.brain.white_hu - study.brain.grey_hu > 2 * study.scanner.noise_hu
        densities.append(blood_hu)
    assert min(densities) < 75
    assert max(densities) > 80
