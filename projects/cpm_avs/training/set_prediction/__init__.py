"""Matching of queries with segments, and l_agn (Sec. 3.1)."""
