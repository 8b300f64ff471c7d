"""Pretrained weights: where they come from, and their conversion. Only tools import this room."""
