"""``python -m spikeva`` is the ``spikeva`` command."""

import sys

from spikeva.cli import main

sys.exit(main())
