"""What is wrong with real data: at its real rate, and each as the reader will meet it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ich.ct.dicom import BadSlice, read_header, read_slice
from ich.data.labels import read_labels
from ich.data.layout import read_raw
from ich.data.phantom import write_cohort
from ich.data.phantom.cohort import KAGGLE
from ich.data.phantom.difficulty import DIFFICULTIES
from ich.data.phantom.fault import MOST, RATES, TIED_PAIRS, TIED_STUDIES, Faults, plan_faults
from ich.data.phantom.header import LAYOUTS
from ich.data.phantom.plan import StudyPlan, plan_cohort

PATIENTS = 1000
SLICES = 35 * PATIENTS


@pytest.fixture(scope="module")
def plans() -> list[StudyPlan]:
    return plan_cohort(patients=PATIENTS, slices=35, difficulty=DIFFICULTIES["base"], seed=0)


def counts(faults: Faults) -> Counter[str]:
    return Counter(fault.name for fault in faults.by_image.values())


def test_there_are_none_by_default(plans: list[StudyPlan]) -> None:
    assert plan_faults(plans, faults=0, seed=0) == Faults()


@pytest.mark.parametrize("faults", [0.5, 1, 5])
def test_each_fault_appears_at_its_rate(plans: list[StudyPlan], faults: float) -> None:
    found = plan_faults(plans, faults=faults, seed=0)
    for name, rate in RATES.items():
        assert abs(counts(found)[name] - faults * rate * SLICES) < 1, name
    assert abs(len(found.tied) / TIED_PAIRS - faults * TIED_STUDIES * PATIENTS) < 1


def test_over_many_seeds_a_rare_fault_is_as_frequent_as_its_rate(plans: list[StudyPlan]) -> None:
    """Fewer than three are expected in a cohort of 1,750 slices; no cohort may always round them down."""
    times = sum(counts(plan_faults(plans[:50], faults=10, seed=seed))["wrapped"] for seed in range(300))
    expected = 300 * 10 * RATES["wrapped"] * sum(len(plan.image_ids) for plan in plans[:50])
    assert abs(times - expected) < 4 * np.sqrt(expected)


def test_no_fault_is_in_more_slices_than_a_twentieth(plans: list[StudyPlan]) -> None:
    found = counts(plan_faults(plans, faults=1e9, seed=0))
    assert all(abs(found[name] - MOST * SLICES) < 1 for name in RATES)


def test_metal_is_where_sixteen_bits_are_stored(plans: list[StudyPlan]) -> None:
    layouts = {image: LAYOUTS[plan.layout] for plan in plans for image in plan.image_ids}
    found = plan_faults(plans, faults=1, seed=0).by_image
    metal = [image for image, fault in found.items() if fault.name == "metal"]
    assert metal
    assert all(layouts[image].signed for image in metal)


def test_a_twin_has_a_sound_slice_of_another_patient_and_none_has_the_same(plans: list[StudyPlan]) -> None:
    found = plan_faults(plans, faults=1e9, seed=0).by_image
    owner = {image: plan.patient_id for plan in plans for image in plan.image_ids}
    sources = []
    for image, fault in found.items():
        assert (fault.source is not None) == fault.name.endswith("twin")
        if fault.source:
            plan, place = fault.source
            sources.append(plan.image_ids[place])
            assert plan.patient_id != owner[image]
            assert sources[-1] not in found
    assert len(set(sources)) == len(sources)


@pytest.mark.parametrize("seed", range(20))
def test_the_smallest_cohort_can_be_full_of_faults(seed: int) -> None:
    plans = plan_cohort(patients=2, slices=4, difficulty=DIFFICULTIES["demo"], seed=seed)
    assert len(plan_faults(plans, faults=1e9, seed=seed).by_image) <= 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One cohort twice: sound, and with every fault; and which image has which."""

    sound: Path
    faulty: Path
    names: pd.DataFrame

    def file(self, image: str) -> Path:
        return self.faulty / KAGGLE / "stage_2_train" / f"{image}.dcm"

    def sound_file(self, image: str) -> Path:
        return self.sound / KAGGLE / "stage_2_train" / f"{image}.dcm"

    def having(self, name: str) -> Iterator[str]:
        images = self.names.index[self.names["fault"] == name].tolist()
        assert images, name
        return iter(images)

    def labels(self, which: str = "faulty") -> pd.DataFrame:
        return read_labels(getattr(self, which) / KAGGLE / "stage_2_train.csv")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    root = tmp_path_factory.mktemp("faults")
    for name, faults in (("sound", 0.0), ("faulty", 1e9)):
        write_cohort(root / name, patients=5, slices=10, difficulty="demo", noise=1.0, seed=1, faults=faults, workers=2)
    names = pd.read_csv(root / "faulty" / "faults.csv", keep_default_na=False).set_index("image_id")
    return Written(sound=root / "sound", faulty=root / "faulty", names=names)


def test_a_sound_cohort_has_no_list_of_faults(written: Written) -> None:
    assert [path.name for path in written.sound.iterdir()] == [KAGGLE]


def test_slices_without_a_fault_are_those_of_the_sound_cohort(written: Written) -> None:
    others = {file.stem for file in written.sound.rglob("*.dcm")} - set(written.names.index)
    assert len(others) > 15
    for image in others:
        assert written.file(image).read_bytes() == written.sound_file(image).read_bytes()
    pd.testing.assert_frame_equal(written.labels().loc[sorted(others)], written.labels("sound").loc[sorted(others)])


def test_a_wrapped_slice_is_stored_modulo_4096_and_mended(written: Written) -> None:
    for image in written.having("wrapped"):
        stored, layout = read_raw(written.file(image))
        assert str(layout) == "12 bits, unsigned, intercept 0"
        assert int(stored.max()) > 3000  # air
        expected = read_slice(written.sound_file(image)).hu.clip(-1000)
        assert np.array_equal(read_slice(written.file(image)).hu[150:-150, 150:-150], expected[150:-150, 150:-150])


def test_metal_is_stored_above_4095(written: Written) -> None:
    for image in written.having("metal"):
        stored, _ = read_raw(written.file(image))
        assert 4095 < int(stored.max()) < 2**15
        changed = read_slice(written.file(image)).hu != read_slice(written.sound_file(image)).hu
        assert 4 <= changed.sum() < 400


def test_a_cut_slice_has_too_few_pixels(written: Written) -> None:
    for image in written.having("cut"):
        with pytest.raises(BadSlice, match="truncated"):
            read_header(written.file(image))


def test_a_spacing_is_missing(written: Written) -> None:
    for image in written.having("no_spacing"):
        with pytest.raises(BadSlice, match="bad_spacing: PixelSpacing is missing"):
            read_header(written.file(image))
        assert read_header(written.file(image), spacing_required=False).spacing_mm is None


def test_pixels_that_are_not_square_show_the_same_millimetres(written: Written) -> None:
    for image in written.having("not_square"):
        one, sound = read_slice(written.file(image)), read_slice(written.sound_file(image))
        assert one.hu.shape == (512, 448)
        assert one.header.spacing_mm is not None
        assert sound.header.spacing_mm is not None
        assert one.header.spacing_mm[0] < one.header.spacing_mm[1]
        assert 448 * one.header.spacing_mm[1] == pytest.approx(512 * sound.header.spacing_mm[1], rel=1e-5)
        assert (one.hu[:, 224] == sound.hu[:, 256]).all()  # the middle stays in the middle


@pytest.mark.parametrize("name", ["twin", "conflicting_twin"])
def test_a_twin_has_another_patients_pixels(written: Written, name: str) -> None:
    labels = written.labels()
    for image in written.having(name):
        source = written.names.loc[image, "source"]
        one, other = read_slice(written.file(image)), read_slice(written.file(source))
        assert np.array_equal(read_raw(written.file(image))[0], read_raw(written.file(source))[0])
        assert np.array_equal(one.hu, other.hu)
        assert one.header.patient_id != other.header.patient_id
        assert one.header.spacing_mm == other.header.spacing_mm
        assert labels.loc[image].equals(labels.loc[source]) == (name == "twin")


def test_labels_without_an_image_and_images_without_labels(written: Written) -> None:
    labels = written.labels()
    for image in written.having("no_image"):
        assert not written.file(image).exists()
        assert labels.loc[image].tolist() == written.labels("sound").loc[image].tolist()
    for image in written.having("no_label"):
        assert read_header(written.file(image)).image_id == image
        assert image not in labels.index


def test_labels_stand_twice(written: Written) -> None:
    rows = Counter(pd.read_csv(written.faulty / KAGGLE / "stage_2_train.csv")["ID"].str.rsplit("_", n=1).str[0])
    assert {image for image, count in rows.items() if count == 12} == set(written.having("label_twice"))
    assert set(rows.values()) == {6, 12}


def test_tied_slices_have_their_neighbours_position(written: Written) -> None:
    heights = {}
    for file in written.faulty.rglob("*.dcm"):
        if file.stem not in written.names.index or written.names.loc[[file.stem], "fault"].eq("tied").all():
            header = read_header(file)
            assert header.position_mm is not None
            heights[file.stem] = (header.series_id, header.position_mm[2])
    tied = [heights[image] for image in written.having("tied") if image in heights]
    assert tied
    assert Counter(heights.values())[tied[0]] <= 2
    assert any(Counter(heights.values())[one] == 2 for one in tied)
