"""What people read. An import points only to an earlier line of this map:

tracking          runs in MLflow: open, log, sweep, find a checkpoint again
lightning_logger  Lightning's metrics into a run, by epoch
figures           pictures
"""
