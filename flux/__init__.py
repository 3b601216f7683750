"""The public name of flux_middleware: `import flux`."""

from flux_middleware import *  # noqa: F403  whatever __all__ names there is public here
from flux_middleware import __all__ as __all__
