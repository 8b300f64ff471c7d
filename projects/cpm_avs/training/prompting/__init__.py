"""The CPM path: class-conditional prompts, ACP, VCP, PCL (eq. 5-9, Sec. 3.2.2-3.2.4)."""
