"""Files for downstream billing, out of the SQL store: the jobs of a period as CSV or Parquet, its bills as FOCUS.

The same period gives the same bytes, from whichever store: see `period` for what belongs to a period, `settled` for
when that can no longer change, `files` for how a file comes to be there whole or not at all.
"""
