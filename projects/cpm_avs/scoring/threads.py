"""How many files are read at a time."""

import os

#: Pillow decodes without Python's lock; more than the cores, for disks that have to be waited for.
WORKERS = min(16, 2 * (os.cpu_count() or 1))
