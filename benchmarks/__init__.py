"""What preparing and feeding cost, beside the ways in which others do it: python -m benchmarks json=FILE

    cohort       the slices that all rivals get
    measure      interleaved repetitions, best number of workers, ratios
    prepare      DICOM to slices a network can read: ours, pydicom's bare decoding, three-window PNG
    feed         batches of 32 in random order: ours, DataLoader, PNG, pydicom on the fly, copying the same bytes
    flips        the same with left-right flips
    labels       stage_2_train.csv to a table: ours, pandas

A ratio over 1 is ours being faster. Rates are of this machine at this moment; ratios are what holds.
"""
