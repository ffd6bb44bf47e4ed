"""No TLS contexts for a Prefect server that is spoken to at `http://`.

Each of Prefect's clients reads the certificates of all public authorities, whatever the server's address is: 22 ms,
some 15 times a run. From a file with one certificate that takes 0.3 ms.
"""

import os
from pathlib import Path
from typing import Any

from prefect.settings import PREFECT_API_SSL_CERT_FILE, get_current_settings

# A certificate whose key was never kept: should an address turn out to be https://, nothing can prove to be it.
NOBODY = Path(__file__).with_name("nobody.pem")


def without_tls() -> dict[Any, str]:
    """Return the settings for a worker and its runs: none for a server at https://, or with certificates set.

    SSL_CERT_FILE stays as it is, because what is not Prefect's own client reads it too: AskNews' is spoken to by TLS.
    """
    api = get_current_settings().api
    is_chosen = api.ssl_cert_file not in {None, os.environ.get("SSL_CERT_FILE")}  # the latter is Prefect's default
    if (api.url or "").startswith("http://") and not is_chosen:
        return {PREFECT_API_SSL_CERT_FILE: str(NOBODY)}
    return {}
