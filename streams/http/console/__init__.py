"""The console: pages for operators and customers, made on the server from the read model.

render     templates and static files, and what all pages have around them; `languages` for words, figures and dates
views      what the pages show, read from the store; `forecast` is the one figure that is no fact
pages      one module for each group of pages; forms become commands as in the API

Pages need no other host, and no inline script or style.
"""

from streams.http.console.install import install
from streams.http.console.problems import error_page

__all__ = ["error_page", "install"]
