"""Folding text into words that compare equal however they were typed. Pure."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from html import unescape

# What a reader sees as the same sign, and what he does not see at all. The raised digits and trade marks go before NFKC
# would glue them to the word before ("Gemini™" is not "GeminiTM"); a break of line must not join two words to a name.
_SIGNS = {
    **dict.fromkeys("\u2018\u2019\u201b\u02bc\uff07`\u00b4", "'"),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2014\u2015", ";"),
    **dict.fromkeys("\u2122\u2120\u00b9\u00b2\u00b3\u2070\u2074\u2075\u2076\u2077\u2078\u2079", " "),
    **dict.fromkeys("\0\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", "\n"),
    **dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff", ""),
}
_SIGN = re.compile(f"[{''.join(map(re.escape, _SIGNS))}]")
# Combining marks that NFKC found no letter for (an overlay, a variation selector): the word below them is the same.
_MARK = re.compile("[\u0300-\u036f\ufe00-\ufe0f]")

# Scripts that put no space between words, or hang endings on foreign names (Korean): each of their characters is a word
# by itself, so that a Latin name among them stands as a whole word.
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u318f\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")


def _token(letter: str, unspaced: str) -> str:
    """The pattern of one entry. Each alternative takes a character and none gives back what it took: linear time."""
    return (
        rf"{letter}+(?:(?<=\d)\.\d{letter}*)*"  # a word, with a dotted version: "llama3.1", "v0.1.2"
        rf"{unspaced}"
        rf"|'s(?!{letter})"
        rf"|(?<={letter})-(?={letter})"
        r"|(?:[^\w\s]|\n)\W*"  # punctuation, with the space after it: "v0.dev" is a name, "v0. Dev" is not
    )


_TOKEN = re.compile(_token(rf"[^\W_{_UNSPACED}]", f"|[{_UNSPACED}]"))
# The same for text that is ASCII: small sets are faster.
_ASCII_TOKEN = re.compile(_token("[A-Za-z0-9]", ""), re.ASCII)
_SILENT = frozenset({"'s", "'S", "-"})


def normal_form(text: str) -> str:
    """Return `text` with HTML's entities decoded, in one normal form (NFKC), with one sign for all that look alike."""
    if "&" in text:
        # Twice, since what a feed has encoded, the next one encodes once more.
        text = unescape(unescape(text))
    text = _SIGN.sub(_plain, text)
    if text.isascii():
        return text
    if not unicodedata.is_normalized("NFKC", text):
        text = _SIGN.sub(_plain, unicodedata.normalize("NFKC", text))
    return _MARK.sub("", text)


def split_words(text: str) -> list[str]:
    """Return the words of `text` in order, as written but in normal form, with punctuation as entries of its own.

    A hyphen inside a word separates two words, as a space does; a possessive "'s" is left out. A character of a script
    without spaces is a word. An entry is a word exactly if `is_word` says so. Never raises for any string.
    """
    return split_normal(normal_form(text))


def split_normal(text: str) -> list[str]:
    """Do as `split_words`, for text in normal form."""
    tokens = (_ASCII_TOKEN if text.isascii() else _TOKEN).findall(text)
    return [token for token in tokens if token not in _SILENT]


def fold(words: Iterable[str]) -> list[str]:
    """Return each of `words`, entries of `split_words`, without distinction of case; for comparing, not for showing."""
    # All at once, which is many times faster than each alone. No entry holds a NUL: it is a break of line.
    folded = "\0".join(words).casefold()
    if not folded.isascii():
        folded = _MARK.sub("", unicodedata.normalize("NFKC", folded))
    return folded.split("\0") if folded else []


def is_word(token: str) -> bool:
    """Return whether an entry of `split_words` is a word and not punctuation."""
    return token[0].isalnum()


def half_words(tokens: Sequence[str]) -> list[int]:
    """Return how far each entry of `split_words` takes the reader, in half words.

    A word is two, a character of a script without spaces one (such scripts write a word in about two), punctuation
    nothing.
    """
    lengths = [2 * token[0].isalnum() for token in tokens]
    for index, token in enumerate(tokens):
        if not token.isascii() and lengths[index] and _UNSPACED_CHARACTER.match(token):
            lengths[index] = 1
    return lengths


def _plain(sign: re.Match[str]) -> str:
    return _SIGNS[sign[0]]
