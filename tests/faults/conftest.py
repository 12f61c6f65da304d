"""A workspace that is disturbed while its line runs, and what must hold of it afterwards.

The folder is on the path, so that tests can import `disturbed`.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
