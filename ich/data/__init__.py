"""From files to batches.

phantom      a synthetic cohort, written as DICOM in the challenge's layout
label_bytes  the challenge's CSV at full size, as machine words
labels       the challenge's CSV and a table with a row an image
pseudonym    ids and names of files as keyed digests
files        a folder, or a .zip read in place
renamed      the same under pseudonyms
layout       how a file says its pixels: bits, sign, intercept
rows         a CSV that people write, line by line
headers      every header once, and what a long pass over them keeps
cohort       a folder of DICOM files as one table, a row a slice, in anatomical order
split        folds by patient
threads      files read ahead, in order
pool         the same by processes
store        prepared slices in memory-mapped shards
faults       what is wrong with slices and labels, and what is done about it
augment      what training slices go through
batches      which rows, in which order, read ahead
source       where slices and labels come from, and how they are fed
module       batches for Lightning
"""
