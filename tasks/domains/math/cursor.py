"""A cursor in a list of tokens: look ahead, and consume."""

from overthink.tasks.domains.math.lexing import Token, Unreadable

END = Token("mark", "")


class Cursor:
    """Tokens and the place of the next one."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.place = tokens, 0

    def ahead(self, offset: int = 0) -> Token:
        """The token at an offset from the cursor."""
        place = self.place + offset
        return self.tokens[place] if place < len(self.tokens) else END

    def sees(self, *texts: str) -> bool:
        """Whether the next token is one of these marks or commands."""
        token = self.ahead()
        return token.kind in ("mark", "command") and token.text in texts

    def take(self, *texts: str) -> bool:
        """Go past the next token if it is one of these."""
        if self.sees(*texts):
            self.place += 1
            return True
        return False

    def take_all(self, texts: list[str]) -> bool:
        """Go past these marks or commands if all of them follow."""
        begin = self.place
        if all(self.take(text) for text in texts):
            return True
        self.place = begin
        return False

    def need(self, text: str) -> None:
        """Go past a token that must be there. Raises Unreadable."""
        if not self.take(text):
            raise Unreadable(f"{text!r} is missing before {self.ahead().text!r}")

    def marks(self) -> str:
        """The subscript and primes of a letter, as text."""
        marks = ""
        while self.sees("_", "'"):
            begin = self.place
            self.place += 1
            if self.tokens[begin].text == "_":
                self.argument_text()
            marks += "".join(one.text for one in self.tokens[begin : self.place] if one.text not in ("{", "}"))
        return marks

    def argument_text(self) -> str:
        """The text of what a command takes, whatever stands in it."""
        begin, depth = self.place, 0
        while True:
            token = self.ahead()
            if token is END:
                raise Unreadable("nothing follows")
            self.place += 1
            depth += {"{": 1, "}": -1}.get(token.text, 0)
            if depth == 0:
                return " ".join(one.text for one in self.tokens[begin : self.place] if one.text not in ("{", "}"))
