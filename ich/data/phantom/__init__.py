"""A synthetic cohort of head CT with and without hemorrhage, written as DICOM in the challenge's layout.

No patient's data is in it. A patient is a handful of numbers and a few small grids of noise; nothing three-dimensional
is ever stored. Each slice is evaluated on its own:

difficulty   every knob that makes a cohort hard
plan         who has what: kinds, slice counts, header layouts, ids
field        maps over a slice, signed distances, edges
skull        vault and floor
brain        folds, ventricles, cisterns, membranes
face         bone, face, scalp
bleeding     the five kinds, and which fraction of each pixel they fill
injury       which bleeds a study has
lookalike    what is bright and no blood
scanner      the head's place in the scanner, holder, blur, noise
study        one patient; a slice rendered
header       a slice as a DICOM file
fault        what is wrong with real data, at its real rate
example      one small slice that is nobody's
cohort       a folder of them
"""

from ich.data.phantom.cohort import BadPhantom, write_cohort
from ich.data.phantom.study import Rendered, Study, draw_study, render

__all__ = ["BadPhantom", "Rendered", "Study", "draw_study", "render", "write_cohort"]
