"""Normalises notation: Unicode, Markdown, delimiters, spacing and thousands separators."""

import re
import unicodedata

_CHARACTERS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ",
    "÷": r"\div ", "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "⩾": r"\ge ",
    "≠": r"\ne ", "≈": r"\approx ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∖": r"\setminus ", "∅": r"\emptyset ",
    "°": r"^\circ ", "º": r"^\circ ", "±": r"\pm ", "∓": r"\mp ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}",
    "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}", "∠": r"\angle ", "△": r"\triangle ",
    "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "φ": r"\phi ", "λ": r"\lambda ", "μ": r"\mu ",
    "σ": r"\sigma ", "ω": r"\omega ", "…": r"\ldots ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ",
    "⌉": r"\rceil ", "⟨": r"\langle ", "⟩": r"\rangle ", "′": "'", "’": "'", "“": '"', "”": '"', "∣": "|",
    "\u2009": r"\,", "\u202f": r"\,", "\u200b": "", "\ufeff": "", "≡": r"\equiv ",
    "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "→": r"\to ", "⁄": "/", "∕": "/", "⇒": r"\implies ",
}  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_WRAPPED = re.compile(
    r"\$\$(?P<a>[^$]*)\$\$|\$(?P<b>[^$]*)\$|\\\[(?P<c>.*)\\\]|\\\((?P<d>.*)\\\)"
    r"|__?(?P<f>[^_]*)__?|`(?P<g>[^`]*)`|\*{1,3}(?P<e>[^*]+)\*{1,3}|\\begin\{(?:equation|align|gather|displaymath)\*?\}(?P<h>.*)"
    r"\\end\{(?:equation|align|gather|displaymath)\*?\}",
    re.DOTALL,
)
_NOISE = ("So", "Cc")  # such as check marks, and control characters
_SPACING = frozenset(",;:!> \n")  # behind a backslash
_SPACED = r"(?:\\[,!;: ]|~|\{,\}|,\\[,!;: ] ?| )"
_THOUSANDS = re.compile(rf"(?<![\d.,])([1-9]\d{{0,2}})((?:{_SPACED}\d{{3}})+)(?![\d/]|\{{|,\d)")
_SKIPPED = re.compile(
    r"\\(?:left|right|middle|[bB]igg?[lrm]?|displaystyle|textstyle|limits|nolimits|quad|qquad|bf|rm|it|tt|large|Large|hline|enspace|thinspace|medspace|thickspace|negthinspace|mathopen\{\}|mathclose\{\})"
    r"(?![A-Za-z])\.?|(?<!\\)\\[,;:!> \n]|~|\\(?:[hv]space|label|tag|phantom)\*?\{[^{}]*\}"
)
_ENDS = " \t\r\n.,;:?~"
_SPACES_AT_BEGIN = re.compile(r"(?:[\s~]|\\[,;:!> ]|\\q?quad(?![A-Za-z]))+")
_ROW_END = re.compile(r"\\\\\*?(?:\s*\[\s*-?[\d.]+\s*[a-z]{2}\s*\])?|\\(?:cr|tabularnewline)(?![A-Za-z])")
_OPEN_CASES = re.compile(
    r"(?:\\left\s*)?\\(?:\{|lbrace)\s*\\begin\{array\}\s*\{[^{}]*\}(.*)\\end\{array\}\s*(?:\\right\s*\.?)?\s*",
    re.DOTALL,
)
_CHOICE = re.compile(r"(\\(?:text|mbox)[a-z]*\{)?([A-H])(?:\)|[.:](?=[\s}]))\s*(?(1)\}\s*)")
_OVER = re.compile(r"\{\s*(\d+)\s*\\over\s*(\d+)\s*\}")
_ALIGNED_MATRIX = re.compile(r"(\\begin\{\w+)\*\}\s*\[[lcr]\]")


def clean(text: str) -> str:
    """The text without wrappers, Markdown and spacing commands, in ASCII wherever mathematics has a name for it."""
    text = _ROW_END.sub(r"\\\\ ", _unicode(text))
    text = _THOUSANDS.sub(lambda found: found[1] + re.sub(r"\D", "", found[2]), _unwrapped(text))
    text = _OVER.sub(r"\\frac{\1}{\2}", _ALIGNED_MATRIX.sub(r"\1}", _with_cases(text)))
    text = re.sub(r"\s+", " ", _SKIPPED.sub(" ", text)).strip(' ,;"').rstrip(_ENDS)
    text = text.removesuffix(r"\\").rstrip(_ENDS)
    return _CHOICE.sub(r"(\2) ", text, count=1).strip() if _CHOICE.match(text) else text


def _unicode(text: str) -> str:
    text = re.sub(r"√\s*(\d+)", r"\\sqrt{\1}", text).replace("√", r"\sqrt ").replace("∛", r"\sqrt[3] ")
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+", lambda found: f"^{{{found[0].translate(_RAISED)}}}", text)
    text = re.sub(r"[₀₁₂₃₄₅₆₇₈₉]+", lambda found: f"_{{{found[0].translate(_LOWERED)}}}", text)
    text = re.sub(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)", r"\\times ", text)
    text = "".join(_fraction(character) or _CHARACTERS.get(character, character) for character in text)
    text = "".join(
        character for character in text if character.isspace() or unicodedata.category(character) not in _NOISE
    )
    return unicodedata.normalize("NFKC", text)


def _fraction(character: str) -> str | None:
    if character.isascii() or not unicodedata.decomposition(character).startswith("<fraction>"):
        return None
    above, _, below = unicodedata.normalize("NFKC", character).partition("⁄")
    return rf"\frac{{{above}}}{{{below}}}"


def _unwrapped(text: str) -> str:
    for _ in range(8):
        text = _trimmed(text)
        if found := _WRAPPED.fullmatch(text):
            text = next(inner for inner in found.groups() if inner is not None)
        elif (box := re.match(r"\\(?:boxed|fbox)\s*\{", text)) and _closes_last(text, box.end()):
            text = text[box.end() : -1]
        else:
            break
    text = re.sub(
        r"(?<![\w)}])\*\*|\*\*(?![\w(])|`",
        "",
        re.sub(r"(?<!\\)\\[()\[\]]", " ", text),
    )
    return _dollars(text)


def _trimmed(text: str) -> str:
    """The text without blanks, spacing commands and punctuation at its ends."""
    if begin := _SPACES_AT_BEGIN.match(text):
        text = text[begin.end() :]
    while True:
        shorter = text.rstrip(_ENDS)
        removed = text[len(shorter) : len(shorter) + 1]
        if not re.search(r"(?<!\\)(?:\\\\)*\\\Z", shorter[-9:]):
            return shorter
        if removed not in _SPACING:
            return text
        text = shorter[:-1]


def _with_cases(text: str) -> str:
    """A brace that stands before an array, and is not closed, makes cases."""
    found = _OPEN_CASES.search(text)
    if found is None or text[found.end() :].startswith(("\\}", "\\rbrace")):
        return text
    return f"{text[: found.start()]}\\begin{{cases}}{found[1]}\\end{{cases}}{text[found.end() :]}"


def _closes_last(text: str, begin: int) -> bool:
    """Whether the brace before `begin` is closed by the last character."""
    depth = 1
    for place, character in enumerate(text[begin:], begin):
        escaped = text[place - 1] == "\\"
        depth += 0 if escaped else {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return place == len(text) - 1
    return False


def _dollars(text: str) -> str:
    r"""A dollar sign in front of every amount is money; any other that is not escaped opens or closes mathematics."""
    bare = re.findall(r"(?<!\\)\$(.?)", text)
    if bare and all(after.isdigit() or after == "." for after in bare):
        return re.sub(r"(?<!\\)\$", r"\\$", text)
    return re.sub(r"(?<!\\)\$", " ", text)
