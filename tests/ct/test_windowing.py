"""HU to grey."""

import math
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ich.ct.windowing import Window, WindowStack, apply_window

CONF = Path(__file__).resolve().parents[2] / "conf" / "window"

BRAIN, SUBDURAL, BONE = (40, 80), (80, 200), (600, 2800)
CHOICES = {
    "brain_subdural_bone": [BRAIN, SUBDURAL, BONE],
    "brain3": [BRAIN, BRAIN, BRAIN],
    "brain": [BRAIN],
    "level80_width80": [(80, 80)] * 3,
    "level40_width120": [(40, 120)] * 3,
    "five": [BRAIN, SUBDURAL, BONE, (40, 375), (32, 8)],
    "hu": [(1023.5, 4095)],
    "learned": [BRAIN, SUBDURAL, BONE],
}

levels = st.floats(-1000, 3000, width=32)
widths = st.floats(1, 4096, width=32)


def stack(*windows: tuple[float, float], learned: bool = False) -> WindowStack:
    return WindowStack(windows=[Window(level=level, width=width) for level, width in windows], learned=learned)


def slices(*hu: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """A batch of one: a pixel a slice."""
    return torch.tensor(hu, dtype=dtype).view(1, -1, 1, 1)


def grey(windows: WindowStack, *hu: float) -> list[float]:
    """All windows of the first slice, then all of the next."""
    return windows(slices(*hu)).detach().flatten().tolist()


@pytest.mark.parametrize(("hu", "expected"), [(-1024, 0.0), (0, 0.0), (20, 0.25), (40, 0.5), (80, 1.0), (3071, 1.0)])
def test_the_brain_window_spans_0_to_80_hu(hu: int, expected: float) -> None:
    assert apply_window(slices(hu), level=40, width=80).item() == expected


@settings(deadline=None)
@given(level=levels, width=widths, hu=st.lists(st.floats(-1024, 3071, width=32), min_size=2, max_size=8))
def test_a_window_is_monotone_within_0_and_1_and_exact_at_its_ends(level: float, width: float, hu: list[float]) -> None:
    image = slices(*sorted(hu))
    shown = apply_window(image, level=level, width=width).flatten()
    assert (shown.diff() >= 0).all()
    assert 0 <= shown.min() <= shown.max() <= 1
    ends = apply_window(slices(level - width / 2, level, level + width / 2), level=level, width=width)
    # 1e-3 HU is what float32 can tell at 4096 HU.
    torch.testing.assert_close(ends.flatten(), torch.tensor([0, 0.5, 1]), rtol=0, atol=1e-3 / width + 1e-6)


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_of_the_group_has_its_windows(name: str) -> None:
    file = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert file.pop("_target_") == "ich.ct.windowing.WindowStack"
    chosen = WindowStack(windows=[Window(**window) for window in file.pop("windows")], **file)
    assert chosen.num_channels == len(CHOICES[name])
    assert chosen.learned == (name == "learned")
    for channel, (level, width) in enumerate(CHOICES[name]):
        ends = [grey(chosen, level + share * width)[channel] for share in (-0.5, -0.25, 0, 0.5)]
        assert ends == pytest.approx([0, 0.25, 0.5, 1], abs=1e-6)


def test_hu_is_the_whole_range_that_a_reader_gives() -> None:
    assert grey(stack(*CHOICES["hu"]), -1024, 3071) == [0, 1]


def test_channels_hold_all_windows_of_a_slice_before_the_next() -> None:
    expected = [0.5, 40 / 200 - 0.4 + 0.5, 1.0, 0.6]
    assert grey(stack(BRAIN, SUBDURAL), 40, 100) == pytest.approx(expected)
    assert stack(BRAIN, SUBDURAL)(torch.zeros(2, 3, 4, 5)).shape == (2, 6, 4, 5)


def test_int16_and_float_hu_give_the_same_grey() -> None:
    windows = stack(BRAIN, BONE)
    hu = torch.arange(-1024, 3072, dtype=torch.int16).view(1, 1, 64, 64)
    assert windows(hu).dtype == torch.float32
    assert torch.equal(windows(hu), windows(hu.double()))


@pytest.mark.parametrize("learned", [False, True])
def test_bf16_autocast_does_not_round_hu(learned: bool) -> None:
    # bfloat16 keeps 8 bits: 1001 HU would become 1000, and a bone window would have steps of 4 HU.
    windows = stack((1001, 8), BONE, learned=learned)
    hu = slices(*range(997, 1006), dtype=torch.int16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = windows(hu)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, windows(hu))
    assert inside[0, ::2].flatten().tolist() == [eighth / 8 for eighth in range(9)]


def test_windows_travel_in_the_state() -> None:
    other = stack(SUBDURAL, SUBDURAL)
    other.load_state_dict(stack(BRAIN, BONE).state_dict())
    assert grey(other, 20, 600) == grey(stack(BRAIN, BONE), 20, 600)
    assert not list(other.parameters())


def test_learned_windows_start_as_given() -> None:
    hu = tuple(range(-1024, 3072, 7))
    assert grey(stack(BRAIN, SUBDURAL, BONE, learned=True), *hu) == pytest.approx(
        grey(stack(BRAIN, SUBDURAL, BONE), *hu), abs=1e-5
    )


def test_adam_moves_learned_windows_by_a_thousandth_of_their_width_a_step() -> None:
    windows = stack(BRAIN, BONE, learned=True)
    optimizer = torch.optim.Adam(windows.parameters(), lr=1e-3)
    for _ in range(10):
        optimizer.zero_grad()
        windows(slices(20, 60, 70)).sum().backward()
        optimizer.step()
    level, width = (values.tolist() for values in windows.current())
    # Less grey is a higher level, and a wider window where most is brighter than the level. Under a steady gradient
    # each of Adam's steps is its learning rate.
    assert level == pytest.approx([40 + 10 * 1e-3 * 80, 600 + 10 * 1e-3 * 2800], rel=1e-4)
    assert width == pytest.approx([80 * math.exp(0.01), 2800 * math.exp(-0.01)], rel=1e-4)


@pytest.mark.parametrize("step", [1e3, -1e3, 1e30])
def test_learned_widths_stay_positive_after_absurd_steps(step: float) -> None:
    windows = stack(BRAIN, BONE, learned=True)
    with torch.no_grad():
        windows.log_width_ratio += step
    _, width = windows.current()
    assert (width > 0).all()
    shown = windows(slices(-1024, 0, 3071))
    assert shown.isfinite().all()
    assert 0 <= shown.min() <= shown.max() <= 1


def test_learned_windows_travel_in_the_state() -> None:
    windows, other = stack(BRAIN, learned=True), stack(SUBDURAL, learned=True)
    with torch.no_grad():
        windows.level_offset += 0.1
        windows.log_width_ratio -= 0.2
    other.load_state_dict(windows.state_dict())
    assert grey(other, 30, 50) == grey(windows, 30, 50)


@pytest.mark.parametrize(
    ("level", "width"), [(40, 0), (40, -80), (40, float("nan")), (40, float("inf")), (float("nan"), 80)]
)
def test_what_is_no_window_is_refused(level: float, width: float) -> None:
    with pytest.raises(ValueError, match=r"^L\S+ W\S+ is no window: its level is a number"):
        Window(level=level, width=width)


def test_an_empty_stack_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one window: \{level: 40, width: 80\}"):
        WindowStack(windows=[])


def test_a_stack_says_what_it_shows() -> None:
    assert stack(BRAIN, SUBDURAL, BONE).describe() == "L40 W80, L80 W200, L600 W2800"
    assert stack((1023.5, 4095), learned=True).describe() == "L1023.5 W4095 (learned)"
