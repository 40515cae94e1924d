"""Tokens to expressions: LaTeX and plain mathematics in one grammar. What it does not take in, it refuses."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

from overthink.tasks.domains.math.binding import Grammar, bound_operation
from overthink.tasks.domains.math.cursor import Cursor
from overthink.tasks.domains.math.expressions import (
    Expression,
    NoValue,
    binomial,
    call,
    double_factorial,
    factorial,
    negative,
    number,
    power,
    quotient,
    symbol,
    times,
    total,
)
from overthink.tasks.domains.math.functions import OF_MANY, function_of, function_of_many
from overthink.tasks.domains.math.lexing import FUNCTIONS, Meaningless, Token, Unreadable, names
from overthink.tasks.domains.math.rewriting import BOUND

DEEPEST = 40  # brackets within brackets
LONGEST_PRODUCT_WORD = 3  # letters in a row that may be factors; more are a word, and as such a symbol
GREEK = names(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell hbar pi infty"
)
_TRIGONOMETRIC = names("sin cos tan cot sec csc")
_INVERSE = _TRIGONOMETRIC | names("sinh cosh tanh")
_APPLIED = names("f g h")
_ACCENTS = names("vec hat bar overline widehat tilde overrightarrow dot underline widetilde angle triangle")
_DEGREES = (["^", "circ"], ["^", "{", "circ", "}"])
_TIMES = frozenset(("cdot", "times", "ast", "bullet"))
_FENCES = {"(": ")", "[": "]"}
_BARS = {"lfloor": ("rfloor", "floor"), "lceil": ("rceil", "ceil")}


def expression_of(tokens: Sequence[Token]) -> tuple[Expression, bool]:
    """The expression that all the tokens make, and whether a degree sign stood outside of functions.

    Raises Unreadable.
    """
    parser = _Parser(list(tokens))
    try:
        found = parser.group()
    except NoValue as error:
        raise Meaningless(str(error)) from error
    if parser.place < len(parser.tokens):
        raise Unreadable(f"{parser.tokens[parser.place].text!r} is not accounted for")
    return found, parser.degrees


class _Parser(Cursor):
    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self.depth = self.in_bars = self.in_angle = 0
        self.degrees = False

    def within(self, parse: Callable[[], Expression], close: str) -> Expression:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unreadable("too deep")
        bars, self.in_bars = self.in_bars, int(close == "|")
        found = parse()
        self.need(close)
        self.depth, self.in_bars = self.depth - 1, bars
        return found

    def sum(self) -> Expression:
        terms = [self.signed()]
        while self.sees("+", "-", "pm", "mp"):
            terms.append(self.signed())
        return total(terms)

    def signed(self) -> Expression:
        if self.take("+"):
            return self.signed()
        if self.take("-"):
            return negative(self.signed())
        for sign in ("pm", "mp"):
            if self.take(sign):
                return call(sign, self.signed())
        return self.product()

    def product(self) -> Expression:
        found = self.powers()
        while True:
            if self.take("*", *_TIMES):
                found = times([found, self.factor()])
            elif self.take("/", "div"):
                found = quotient(found, self.factor())
            elif self.begins():
                found = times([found, self.powers()])
            else:
                return found

    def factor(self) -> Expression:
        if self.take("-"):
            return negative(self.factor())
        return self.factor() if self.take("+") else self.powers()

    def begins(self) -> bool:
        """Whether a factor begins here without a sign before it; a number does so only where it cannot be digits."""
        token = self.ahead()
        if token.kind == "number":
            before = [one.text for one in self.tokens[max(self.place - 2, 0) : self.place]]
            return before[-1] in (")", "]", "}", "!") or (token.spaced and before[0] == "^")
        if token.kind == "mark":
            return token.text in ("(", "[", "{") or (token.text == "|" and not self.in_bars)
        return token.kind in ("symbol", "word") or token.text in _COMMANDS

    def powers(self) -> Expression:
        found = self.primary()
        while True:
            if self.take("!"):
                double = self.sees("!") and self.ahead(1).text != "!" and self.tokens[self.place - 2].text != "!"
                found = double_factorial(found) if double and self.take("!") else factorial(found)
            elif any(self.take_all(spelling) for spelling in _DEGREES):
                found = self.in_degrees(found)
            elif self.take("circ"):
                if self.begins():
                    raise Unreadable("functions one after the other")
                found = self.in_degrees(found)
            elif self.take("^") or self.take_all(["*", "*"]):
                found = power(found, self.exponent())
            else:
                return found

    def in_degrees(self, found: Expression) -> Expression:
        if self.in_angle:
            return times([found, number(Fraction(1, 180)), symbol("pi")])
        self.degrees = True
        return found

    def exponent(self) -> Expression:
        if self.take("-"):
            return negative(self.exponent())
        if self.take("+"):
            return self.exponent()
        if self.take("{"):
            return self.within(self.sum, "}")
        base = self.primary()
        return power(base, self.exponent()) if self.take("^") else base

    def primary(self) -> Expression:
        token = self.ahead()
        self.place += 1
        if token.kind == "number":
            return self.mixed(token)
        if token.kind in ("symbol", "word"):
            return self.letters(token)
        if token.kind == "mark":
            return self.fenced(token.text)
        return self.command(token.text)

    def mixed(self, token: Token) -> Expression:
        r"""A number; if it is whole and \frac{1}{2} or 1/2 follows, the whole part of a mixed one."""
        assert token.value is not None
        begin = self.place
        if token.text.isdigit() and self.take("frac"):
            fraction = self.fraction()
            plain = all(one.kind == "number" or one.text in ("{", "}") for one in self.tokens[begin + 1 : self.place])
            if plain and fraction.number is not None and not self.sees("^"):
                return number(token.value + fraction.number)
            self.place = begin
        above, slash, below = (self.ahead(offset) for offset in range(3))
        whole = all(one.text.isdigit() for one in (token, above, below))
        if whole and above.spaced and slash.text == "/" and int(below.text):
            self.place += 3
            return number(token.value + Fraction(int(above.text), int(below.text)))
        return number(token.value)

    def argument(self) -> Expression:
        """What a command takes: a group, or one digit, letter or command."""
        token = self.ahead()
        if token.kind == "number" and token.text.isdigit() and len(token.text) > 1:
            first, rest = token.text[0], token.text[1:]
            digits = [replace(token, text=one, value=Fraction(one)) for one in (first, rest)]
            self.tokens[self.place : self.place + 1] = digits
        return self.primary()

    def fraction(self) -> Expression:
        begin = self.place
        above, middle = self.argument(), self.place
        below = self.argument()
        first, second = (self.tokens[at + (self.tokens[at].text == "{")].text for at in (begin, middle))
        if first.startswith("d") and len(second) == 2 and second.startswith("d"):
            raise Unreadable("a derivative")
        return quotient(above, below)

    def letters(self, token: Token) -> Expression:
        if token.kind == "word" and (token.prose or len(token.text) > LONGEST_PRODUCT_WORD):
            return symbol(token.text.lower())
        before, last = list(token.text[:-1]), token.text[-1]
        if not before and last in _APPLIED and self.sees("("):
            return call(f"{last}:", *self.arguments())
        return times([*map(symbol, before), symbol(last + self.marks())])

    def fenced(self, opening: str) -> Expression:
        if opening in _FENCES:
            return self.within(self.sum, _FENCES[opening])
        if opening == "{":
            return self.within(self.group, "}")
        if opening == "|":
            return call("abs", self.within(self.sum, "|"))
        raise Unreadable(f"{opening!r} begins nothing")

    def group(self) -> Expression:
        r"""A sum, or two of them with \over or \choose between."""
        found = self.sum()
        if self.take("over"):
            return quotient(found, self.sum())
        return binomial(found, self.sum()) if self.take("choose") else found

    def arguments(self) -> list[Expression]:
        """Expressions in brackets, with commas between them."""
        self.place += 1
        found = [self.sum()]
        while self.take(","):
            found.append(self.sum())
        self.need(_FENCES.get(self.tokens[self.place - 1].text, ")"))
        return found

    def command(self, name: str) -> Expression:
        if name not in _COMMANDS:
            raise Unreadable(f"\\{name} is not known")
        return _COMMANDS[name](self, name)

    def greek(self, name: str) -> Expression:
        return symbol(name if name == "pi" else name + self.marks())

    def bound(self, name: str) -> Expression:
        return bound_operation(self, name, Grammar(self.sum, self.product, self.argument))

    def rounded(self, name: str) -> Expression:
        close, function = _BARS[name]
        return call(function, self.within(self.sum, close))

    def accented(self, name: str) -> Expression:
        return symbol(f"{name} {self.argument_text()}" + self.marks())

    def root(self) -> Expression:
        degree = number(2)
        if self.take("["):
            degree = self.within(self.sum, "]")
        return power(self.primary(), quotient(number(1), degree))

    def function(self, name: str) -> Expression:
        base, exponent = None, None
        for _ in range(2):
            if self.take("_"):
                base = self.exponent()
            elif self.take("^"):
                exponent = self.exponent()
        if exponent is not None and exponent.number == -1 and name in _INVERSE:
            name, exponent = f"arc{name}", None
        angles = int(name in _TRIGONOMETRIC)
        self.in_angle += angles
        found = self.applied(name, base)
        self.in_angle -= angles
        return found if exponent is None else power(found, exponent)

    def applied(self, name: str, base: Expression | None) -> Expression:
        if name not in OF_MANY:
            return function_of(name, base, self.operand())
        if not self.sees("("):
            raise Unreadable(f"{name} of what?")
        return function_of_many(name, self.arguments())

    def operand(self) -> Expression:
        """What a function without brackets is of: the factors up to the next sign, bracket or function."""
        if self.sees("(", "[", "{", "|"):
            return self.primary()
        if self.take("-"):
            return negative(self.operand())
        factors = [self.powers()]
        while self.begins() and not self.sees("(", "[", "|") and self.ahead().text not in FUNCTIONS - {"sqrt", "binom"}:
            factors.append(self.powers())
        found = times(factors)
        while self.sees("/") and self.ahead(1).kind == "number":
            self.place += 1
            found = quotient(found, self.primary())
        return found


_COMMANDS: dict[str, Callable[[_Parser, str], Expression]] = {
    **dict.fromkeys(FUNCTIONS, _Parser.function),
    **dict.fromkeys(GREEK, _Parser.greek),
    **dict.fromkeys(_ACCENTS, _Parser.accented),
    **dict.fromkeys(_BARS, _Parser.rounded),
    **dict.fromkeys(BOUND, _Parser.bound),
    "frac": lambda parser, _: parser.fraction(),
    "binom": lambda parser, _: binomial(parser.argument(), parser.argument()),
    "sqrt": lambda parser, _: parser.root(),
}
