"""From files to batches: phantom, labels, cohort, split, store, augment, source, module."""
