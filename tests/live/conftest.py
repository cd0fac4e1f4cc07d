"""The built site and the browser of the site's tests serve the instruments as well."""

from tests.site.conftest import address, browser, site, visit  # noqa: F401
