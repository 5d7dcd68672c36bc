"""How hard a cohort is: every knob in one place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Difficulty:
    """The knobs; the defaults are the hardest cohort, nearest to real scans. Shares run from 0 to 1."""

    positive_share: float = 0.41  # RSNA 2019: 8,003 of 19,530 studies
    fewest_epidural: int = 1  # studies, at most a quarter of the positive: their share would give a small cohort none
    blood_hu: tuple[float, float] = (50, 90)  # above 80 a brain window shows it white, as bone
    bleed_scale: float = 1.0
    thin_subdural_share: float = 0.4
    convexity_share: float = 0.72  # of subdural bleeds; the others lie along the falx and on the tentorium
    subarachnoid_filling: float = 1.6  # blood widens the sulcus that it fills
    smallest_mm2: float = 12.0  # smaller blood is neither drawn nor labelled
    smallest_subarachnoid_mm2: float = 30.0
    hyperostosis_share: float = 0.3  # of heads, with bone lenses inside the skull: shaped like extra-axial blood
    blob_share: float = 0.12  # of slices: a bright spot that its neighbours do not have
    streaks: float = 0.6  # bands a slice, five times as many at the skull base
    noise_hu: tuple[float, float] = (3.1, 0.35)  # median and log-deviation over studies (real brain: 2.0 .. 7.2)
    offset_hu: float = 3.0  # deviation of a study's calibration


DIFFICULTIES = {
    "base": Difficulty(),
    "easy": Difficulty(
        blood_hu=(58, 90),
        thin_subdural_share=0.15,
        hyperostosis_share=0.12,
        blob_share=0.04,
        streaks=0.3,
        noise_hu=(2.95, 0.25),
        offset_hu=1.5,
    ),
    "demo": Difficulty(
        positive_share=0.55,
        fewest_epidural=4,
        blood_hu=(62, 90),
        bleed_scale=1.25,
        thin_subdural_share=0.05,
        convexity_share=0.9,
        subarachnoid_filling=3.0,
        smallest_mm2=80.0,
        smallest_subarachnoid_mm2=150.0,
        hyperostosis_share=0.06,
        blob_share=0.02,
        streaks=0.2,
        noise_hu=(2.95, 0.2),
        offset_hu=1.0,
    ),
}
