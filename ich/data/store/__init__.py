"""Prepared slices, written once and mapped into memory: int16 shards and an index per cohort and geometry.

reading    a store that is there: rows to HU
shard      one shard's files, and the columns of the index
preparing  files to slices, by threads or processes
writing    shard by shard, by one command or many at once
"""

from ich.data.store.reading import BadStore, Store, open_store
from ich.data.store.writing import SHARD_BYTES, Unfinished, begin_store, prepare_store

__all__ = ["SHARD_BYTES", "BadStore", "Store", "Unfinished", "begin_store", "open_store", "prepare_store"]
