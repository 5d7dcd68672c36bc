"""From files to batches.

phantom       a synthetic cohort, written as DICOM in the challenge's layout
label_bytes   the challenge's CSV at full size, as machine words
labels        the challenge's CSV and a table with a row an image
cohort        a folder of DICOM files as one table, a row a slice, in anatomical order
split         folds by patient
store         prepared slices in one memory-mapped file
augment       what training slices go through
source        where slices and labels come from, and how they are fed
module        batches for Lightning
"""
