"""What preparing and feeding cost, beside the ways in which others do it: python -m benchmarks json=FILE

    cohort          the slices that all rivals get
    measure         interleaved repetitions, best number of workers, ratios
    ours            DICOM files to what a store holds; batches of 32 in random order, plain and flipped
    with_torch      our store behind torch's DataLoader; copying the same bytes, the limit of all feeding
    with_pydicom    decoding alone; decoding every epoch anew
    with_png        three windows at 512 px, or 16 bits at 256
    with_monai      CacheDataset and PersistentDataset
    with_litdata    chunks, streamed
    with_webdataset tar files, shuffled in a buffer
    labels          stage_2_train.csv to a table: ours, pandas
    scale           752,803 slices before the first batch: ours, pandas, torch's sampler; `sparse` is their store
    gpu             a training's images a second with the store's feed over those with a batch that stays on the GPU

MONAI, LitData and WebDataset are the extra `bench`; without it they are left out. Nothing here goes to the network.
A ratio over 1 is ours being faster. Rates are of this machine at this moment; ratios are what holds.
"""
