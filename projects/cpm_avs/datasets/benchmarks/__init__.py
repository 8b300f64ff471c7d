"""AVSBench and VPO."""
