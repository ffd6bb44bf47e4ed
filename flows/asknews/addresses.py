"""Validators for web addresses: what a browser would open is kept, and what it would not is odd."""

import re
from urllib.parse import quote, urlsplit

from flows.asknews.fields import string

# Characters. Nothing but a mistake is longer, and no column or index is in the way of it.
LONGEST_ADDRESS = 65_536

# A browser leaves these out of an address, and encodes the others that cannot stand in one.
_LEFT_OUT = re.compile(r"[\t\r\n]")
_ENCODED = re.compile(r"[\x00-\x20\x7f<>\"\\^`{|}]+")


def web_address(value: object) -> str:
    """Accept an absolute http or https address; percent-encode what cannot stand in one (such characters: inferred).

    Raises ValueError for any other, such as `javascript:`.
    """
    address = _ENCODED.sub(lambda found: quote(found[0]), _LEFT_OUT.sub("", string(value).strip()))
    if len(address) > LONGEST_ADDRESS:
        raise ValueError(f"is an address longer than {LONGEST_ADDRESS} characters")
    try:
        parts = urlsplit(address)
    except ValueError:
        raise ValueError("is not a web address") from None
    if parts.scheme not in {"http", "https"} or not parts.netloc or "%" in parts.netloc:
        raise ValueError("is not a web address")
    return address


def reddit_address(value: object) -> str:
    """Do as `web_address`; one without a host is a path at Reddit (inferred: AskNews' own SDK accepts such)."""
    address = string(value).strip()
    return web_address(f"https://www.reddit.com{address}" if re.match(r"/(?!/)", address) else address)
