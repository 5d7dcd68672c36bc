"""One run: parameters, metrics by epoch, files, tags, and a state that is true however it ends."""

import getpass
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING

from ich.report.tracking.store import PROJECT, TrackingFailed, connect, experiment_id, failures_named, tracking_uri
