"""`python -m flux_middleware.doctor`."""

import sys

from flux_middleware.doctor import main

sys.exit(main(program="python -m flux_middleware.doctor"))
