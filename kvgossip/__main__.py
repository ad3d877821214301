"""``python -m kvgossip``: the command line."""

import sys

from kvgossip.cli.main import main

sys.exit(main())
