"""`python -m fpa <verb>`."""

import sys

from fpa.cli import main

sys.exit(main())
