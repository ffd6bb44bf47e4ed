"""Folding text into words that compare equal however they were typed. Pure."""

import re
import unicodedata

# What a reader sees as the same sign, and what he does not see at all. The raised digits and trade marks go before NFKC
# would glue them to the word before ("Gemini™" is not "GeminiTM"); a break of line must not join two words to a name.
_SIGNS = {
    **dict.fromkeys(map(ord, "\u2018\u2019\u201b\u02bc\uff07`\u00b4"), "'"),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"), "-"),
    **dict.fromkeys(map(ord, "\u2122\u2120\u00b9\u00b2\u00b3\u2070\u2074\u2075\u2076\u2077\u2078\u2079"), " "),
    **dict.fromkeys(map(ord, "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"), "\n"),
    **dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"), None),
}
# Combining marks that NFKC found no letter for (an overlay, a variation selector): the word below them is the same.
_MARKS = dict.fromkeys([*range(0x300, 0x370), *range(0xFE00, 0xFE10)])

# Scripts that put no space between words, or hang endings on foreign names (Korean): each of their characters is a word
# by itself, so that a Latin name among them stands as a whole word.
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u318f\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
_LETTER = rf"[^\W_{_UNSPACED}]"
# Each alternative takes at least one character and none can give back what it took, so the time is linear.
_TOKEN = re.compile(
    rf"{_LETTER}+(?:(?<=\d)\.\d{_LETTER}*)*"  # a word, with a dotted version: "llama3.1", "v0.1.2"
    rf"|[{_UNSPACED}]"
    rf"|'s(?!{_LETTER})"
    rf"|(?<={_LETTER})-(?={_LETTER})"
    r"|(?:[^\w\s]|\n)\W*"  # punctuation, with the space after it: "v0.dev" is a name, "v0. Dev" is not
)
_SILENT = frozenset({"'s", "'S", "-"})


def split_words(text: str) -> list[str]:
    """The words of `text` in order, as written but in one normal form (NFKC), with punctuation as entries of its own.

    A hyphen inside a word separates two words, as a space does; a possessive "'s" is left out. A character of a script
    without spaces is a word. An entry is a word exactly if `is_word` says so. Never raises for any string.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_SIGNS)).translate(_SIGNS).translate(_MARKS)
    else:
        text = text.translate(_SIGNS)
    return [token for token in _TOKEN.findall(text) if token not in _SILENT]


def fold(word: str) -> str:
    """`word` without distinction of case; for comparing, not for showing."""
    folded = word.casefold()
    return folded if folded.isascii() else unicodedata.normalize("NFKC", folded).translate(_MARKS)


def is_word(token: str) -> bool:
    """Whether an entry of `split_words` is a word and not punctuation."""
    return token[0].isalnum()
