r"""Numbers and units in LaTeX, Unicode or plain text, brought into one plain spelling: `3.5 × 10^-19 J·K^-1`."""

import re

LONGEST = 300  # characters of an answer that is read as a quantity

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
_CHARACTERS = str.maketrans(
    {"−": "-", "–": "-", "—": "-", "⋅": "·", "∙": "·", "•": "·", "*": "·", "μ": "µ", "Ω": "Ω", "Å": "Å", "\u00a0": " "}
)
_SPACE = ("quad", "qquad", "left", "right", "displaystyle", "big", "Big")
_COMMANDS = {
    **{rf"\{name}": " · " for name in ("cdot", "bullet", "ast")},
    **{rf"\{name}": "µ" for name in ("mu", "upmu")},
    **{rf"\{name}": " ≈ " for name in ("approx", "simeq", "sim")},
    **{rf"\{name}": "/" for name in ("per", "div")},
    **{rf"\{name}": "°" for name in ("circ", "degree")},
    **{rf"\{name}": f" {name} " for name in ("alpha", "beta", "gamma")},
    **{rf"\{name}": " " for name in _SPACE},
    r"\times": " × ",
    r"\pm": " ± ",
    r"\Omega": "Ω",
    r"\AA": "Å",
    r"\AA{}": "Å",
    r"\ell": "L",
}
_STYLE = (
    r"\\(?:math(?:rm|bf|it|sf|tt)|text(?:rm|bf|it|sf|normal)?|rm|bf|mbox|operatorname|unit|si|pu|ce)(?![A-Za-z])\*?"
)
_STYLED = re.compile(_STYLE + r"\s*\{([^{}]*)\}")
_BARE_STYLE = re.compile(_STYLE)
_SPACES = re.compile(r"\\[ ,;:!]|~|\\thinspace(?![A-Za-z])")
_COMMAND = re.compile(r"\\[A-Za-z]+(?:\{\})?")
_PYTHON_POWER = re.compile(r"(?<=[\w)])\s?\*\*\s?(?=[-+({\d])")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]{1,60})\}\s*\{([^{}]{1,60})\}")
_EXPONENT = re.compile(r"\^\s*\{([^{}]*)\}")
_DEGREES = re.compile(
    r"\^?(?:°|\bdeg(?:rees?)?\b)\s*\.?\s*(C|F|K)(?:elsius|ahrenheit|elvin)?\b|([℃℉])|\b([CF])(?:elsius|ahrenheit)\b",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """An answer or a unit without the marks of LaTeX and Markdown; commands that are not known stay."""
    text = _PYTHON_POWER.sub("^", text[: LONGEST + 1]).replace("**", "").translate(_CHARACTERS)
    text = _RAISED.sub(lambda found: f"^{found[0].translate(_SUPERSCRIPTS)}", text)
    text = _SPACES.sub(" ", text.replace(r"\%", "%").replace("$", " ").replace("{,}", ","))
    text = re.sub(r"\\[()\[\]]", " ", text)
    while (made := _inner(text)) != text:
        text = made
    text = _COMMAND.sub(lambda found: _COMMANDS.get(found[0], found[0]), _BARE_STYLE.sub(" ", text))
    text = _DEGREES.sub(_scale, re.sub(r"[{}`_]", "", text)).replace("^°", "°")
    return " ".join(re.sub(r"(?<=µ)\s+(?=[A-Za-z])", "", re.sub(r"\s*\^\s*", "^", text)).split())


def _inner(text: str) -> str:
    """Without the innermost braces of exponents, styles and fractions."""
    text = _EXPONENT.sub(lambda found: f"^{found[1].replace(' ', '')}", text)
    return _FRACTION.sub(r"(\1)/(\2)", _STYLED.sub(r" \1 ", text))


def _scale(found: re.Match[str]) -> str:
    letter = (found[1] or {"℃": "C", "℉": "F"}.get(found[2]) or found[3]).upper()
    return " K " if letter == "K" else f" deg{letter} "
