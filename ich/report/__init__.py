"""What people read. An import points only to an earlier line of this map:

tracking          runs in MLflow: open, log, sweep, find a checkpoint again
lightning_logger  Lightning's metrics into a run, by epoch
rescue            what a killed run left aside
figures           pictures
charts            labels and headers in bars
curves            probabilities in curves
slice_figures     one slice on its way from file to network
layouts           groups of headers, and the rate of hemorrhage in each
examples          slices to look at
page              one HTML page that stands alone
exploration       what data are, before anything is trained on them
evaluation        what predictions are worth
calibrated        the best checkpoint's calibration, and what it brings
"""
