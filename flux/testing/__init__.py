"""The public name of flux_middleware.testing: `import flux.testing`."""

from flux_middleware.testing import *  # noqa: F403  whatever __all__ names there is public here
from flux_middleware.testing import __all__ as __all__
