"""Heads and holders that tests draw."""

import numpy as np

AIR, WATER, BRAIN, HOLDER = -1024, 0, 35, 250


def millimetres(shape: tuple[int, int], spacing: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of pixel centres in mm from the middle of the slice."""
    rows, columns = ((np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing, strict=True))
    return rows[:, None], columns[None]


def head(
    shape: tuple[int, int] = (512, 512),
    spacing: tuple[float, float] = (0.5, 0.5),
    middle: tuple[float, float] = (0.0, 0.0),
    radii: tuple[float, float] = (90.1, 75.1),
) -> np.ndarray:
    """An ellipse of brain in air; millimetres."""
    rows, columns = millimetres(shape, spacing)
    inside = ((rows - middle[0]) / radii[0]) ** 2 + ((columns - middle[1]) / radii[1]) ** 2 < 1
    return np.where(inside, BRAIN, AIR).astype(np.int16)


def arc(radius: float, thickness: float, middle: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """The lower half of a ring with two upright arms, as head holders are; [512, 512] of 0.5 mm."""
    rows, columns = millimetres((512, 512), (0.5, 0.5))
    rows, columns = rows - middle[0], np.abs(columns - middle[1])
    from_middle = np.where(rows > 0, np.hypot(rows, columns), columns)
    return (np.abs(from_middle - radius) < thickness / 2) & (rows > -60)
