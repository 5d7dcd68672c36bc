"""Acute intracranial hemorrhage and its five kinds on single slices of head CT. Research software, no medical device.

An import points only to an earlier line of this map:

    torchvision_hook  a CPU build of torch beside the usual torchvision
    errors            the one base of everything refused
    findings          the six findings, their order and their weights
    progress          progress bars
    metric            the challenge's metric and its company, exact
    calibration       temperature and bias of each label, so that probabilities are rates
    config            compose, check, build an experiment from YAML
    ct                physics of CT: dicom, head, resampling, geometry, windowing
    data              files to batches: phantom, labels, cohort, split, store, augment, batches, source, module
    model             batches to logits: backbone, context, loss, classifier, activation, learner
    processes         what the processes of one training share, and how they end together
    saves             save points of a training, files written whole
    trainer           a learner on its devices
    predictor         a checkpoint as a function of DICOM
    report            what people read: tracking, figures
    prepare           a door: slices to a store, once
    explore           a door: what the data are, on one page
    evaluate          a door: what predictions are worth
    compare           a door: what makes two runs differ
    sync              a door: what a tracking server did not take is sent
"""

from ich import torchvision_hook

torchvision_hook.install()
