"""What a message says of the proxy that requests go through: the variable that names it, and never its address."""

import os

_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def proxy_variable(scheme: str = "") -> str | None:
    """Return the variable that names a proxy, the first one that begins with `scheme`; None if no proxy is set."""
    names = [name for name in _VARIABLES for name in (name, name.lower())]
    return next((name for name in names if (value := os.environ.get(name)) and value.startswith(scheme)), None)


def proxy_refusal() -> str:
    """Return what to do about a proxy that answers 407."""
    variable = proxy_variable() or "HTTPS_PROXY"
    return f"the proxy asks for credentials: put them into {variable}, as http://user:password@host:port"
