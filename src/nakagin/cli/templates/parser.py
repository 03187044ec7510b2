"""Tokens → closures: an expression is a function of the scope, a statement one that also appends to the output."""

from __future__ import annotations

from nakagin.cli.templates.functions import FUNCTIONS
from nakagin.cli.templates.lexer import lex
from nakagin.cli.templates.values import MISSING, TemplateError, field, kind, show, truth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nakagin.cli.templates.lexer import Token

    Expression = Callable[["Scope"], object]
    Statement = Callable[["Scope", list[str]], None]

_CONSTANTS: dict[object, object] = {"true": True, "false": False, "nil": None}


class Scope:
    """The dot, the variables and the rules of one place in the template."""

    __slots__ = ("absent", "dot", "variables")

    def __init__(
        self, dot: object, variables: dict[str, object], absent: Mapping[str, object] | None
    ) -> None:
        self.dot = dot
        self.variables = variables
        self.absent = absent

    def inner(self, dot: object) -> Scope:
        """A block: sees the variables, its own end with it, assignments stay."""
        return Scope(dot, _Chained(self.variables), self.absent)


class _Chained(dict[str, object]):
    """Variables of a block over those around it."""

    def __init__(self, outer: dict[str, object]) -> None:
        super().__init__()
        self.outer = outer

    def __missing__(self, key: str) -> object:
        return self.outer[key]

    def assign(self, key: str, value: object) -> None:
        """`$x = value` changes the variable where it was declared."""
        if key in self or not isinstance(self.outer, _Chained):
            (self if key in self else self.outer)[key] = value
        else:
            self.outer.assign(key, value)


class _LoopControl(Exception):
    pass


class _Break(_LoopControl):
    pass


class _Continue(_LoopControl):
    pass


class Template:
    """A parsed template. `functions` adds to or replaces the built-in ones."""

    def __init__(self, text: str, functions: Mapping[str, Callable[..., object]] | None = None) -> None:
        self._pieces = lex(text)
        self._next = 0
        self._functions = {**FUNCTIONS, **(functions or {})}
        self._named: dict[str, Statement] = {}
        self._body, end = self._block(())
        assert end is None

    def render(self, data: object, *, absent: Mapping[str, object] | None = None) -> str:
        """The text for `data`. A missing key is <no value>; with `absent` given, its value there or TemplateError."""
        output: list[str] = []
        scope = Scope(data, _Chained({"$": data}), absent)
        try:
            self._body(scope, output)
        except _LoopControl:
            raise TemplateError("template: break or continue outside of range") from None
        return "".join(output)

    # -- statements

    def _block(self, ends: Sequence[str]) -> tuple[Statement, list[Token] | None]:
        """Statements up to one of the words `ends`; that action's tokens, None at the end of the text."""
        statements: list[Statement] = []
        while self._next < len(self._pieces):
            piece = self._pieces[self._next]
            self._next += 1
            if isinstance(piece, str):
                if piece:
                    statements.append(_literal(piece))
                continue
            word = piece[0][1] if piece and piece[0][0] == "word" else ""
            if word in ("end", "else"):
                if word not in ends:
                    raise TemplateError(f"template: :1: unexpected {{{{{word}}}}}")
                return _sequence(statements), piece
            statements.append(self._statement(str(word), piece))
        if ends:
            raise TemplateError("template: :1: unexpected EOF")
        return _sequence(statements), None

    def _statement(self, word: str, tokens: list[Token]) -> Statement:
        match word:
            case "if" | "with":
                return self._conditional(word, tokens[1:])
            case "range":
                return self._range(tokens[1:])
            case "break" | "continue":
                return _control(_Break if word == "break" else _Continue)
            case "define" | "block":
                return self._define(word, tokens)
            case "template":
                return self._call_template(tokens)
        names, declares, expression = self._pipeline(tokens)
        if names:
            return _assignment(names[0], expression, declares=declares)
        return lambda scope, output: output.append(show(expression(scope)))

    def _conditional(self, word: str, tokens: list[Token]) -> Statement:
        names, _, condition = self._pipeline(tokens)
        body, otherwise = self._branches(word)

        def run(scope: Scope, output: list[str]) -> None:
            value = condition(scope)
            inner = scope.inner(value if word == "with" and truth(value) else scope.dot)
            if names:
                inner.variables[names[0]] = value
            (body if truth(value) else otherwise)(inner, output)

        return run

    def _branches(self, word: str) -> tuple[Statement, Statement]:
        body, end = self._block(("end", "else"))
        assert end is not None
        if end[0][1] == "end":
            return body, _sequence([])
        if len(end) > 1:  # {{else if ...}}: the rest of the chain, which takes the common end with it
            if end[1] not in (("word", "if"), ("word", word)) or word == "range":
                raise TemplateError("template: :1: unexpected words after else")
            return body, self._conditional(str(end[1][1]), end[2:])
        otherwise, _ = self._block(("end",))
        return body, otherwise

    def _range(self, tokens: list[Token]) -> Statement:
        names, _, expression = self._pipeline(tokens)
        body, otherwise = self._branches("range")

        def run(scope: Scope, output: list[str]) -> None:
            pairs = _pairs(expression(scope))
            if not pairs:
                otherwise(scope.inner(scope.dot), output)
            for key, value in pairs:
                inner = scope.inner(value)
                if names:
                    inner.variables[names[-1]] = value
                if len(names) == 2:
                    inner.variables[names[0]] = key
                try:
                    body(inner, output)
                except _Continue:
                    continue
                except _Break:
                    break

        return run

    def _define(self, word: str, tokens: list[Token]) -> Statement:
        name = str(tokens[1][1]) if len(tokens) > 1 else ""
        body, _ = self._block(("end",))
        self._named[name] = body
        return self._call_template(tokens) if word == "block" else _sequence([])

    def _call_template(self, tokens: list[Token]) -> Statement:
        name = str(tokens[1][1]) if len(tokens) > 1 else ""
        argument = self._pipeline(tokens[2:])[2] if len(tokens) > 2 else lambda _scope: None

        def run(scope: Scope, output: list[str]) -> None:
            if name not in self._named:
                raise TemplateError(f'template: template "{name}" not defined')
            dot = argument(scope)
            self._named[name](Scope(dot, _Chained({"$": dot}), scope.absent), output)

        return run

    # -- expressions

    def _pipeline(self, tokens: list[Token]) -> tuple[list[str], bool, Expression]:
        """(variables, whether they are declared, value) of `$k, $v := a | b c`."""
        names: list[str] = []
        declares = False
        for position, (sort, value) in enumerate(tokens[:4]):
            if sort == "mark" and value in (":=", "="):
                names = [str(word) for each, word in tokens[:position] if each == "variable"]
                declares, tokens = value == ":=", tokens[position + 1 :]
                break
        reader = _Reader(tokens)
        expression = self._commands(reader)
        if not reader.finished:
            raise TemplateError(f'template: :1: unexpected "{reader.peek()[1]}" in operand')
        return names, declares, expression

    def _commands(self, reader: _Reader) -> Expression:
        expression = self._command(reader, None)
        while reader.take_mark("|"):
            expression = self._command(reader, expression)
        return expression

    def _command(self, reader: _Reader, piped: Expression | None) -> Expression:
        if reader.finished:
            raise TemplateError("template: :1: missing value for command")
        sort, word = reader.peek()
        if sort == "word" and word not in _CONSTANTS:
            reader.advance()
            return self._function_call(str(word), self._operands(reader, piped))
        head = self._operand(reader)
        arguments = self._operands(reader, piped)
        if not arguments:
            return head
        if not isinstance(head, _Field):
            raise TemplateError("template: :1: can't give argument to non-function")
        return _Field(head.base, head.name, arguments)

    def _operands(self, reader: _Reader, piped: Expression | None) -> list[Expression]:
        operands: list[Expression] = []
        while not reader.finished and reader.peek() not in (("mark", "|"), ("mark", ")")):
            operands.append(self._operand(reader))
        return [*operands, piped] if piped is not None else operands

    def _operand(self, reader: _Reader) -> Expression:
        sort, value = reader.advance()
        expression: Expression
        if sort in ("string", "number", "char"):
            expression = _constant(value)
        elif sort == "variable":
            expression = _variable(str(value))
        elif sort in ("field", "chain"):
            expression = _Field(_dot, str(value), [])
        elif sort == "word":
            expression = (
                _constant(_CONSTANTS[value]) if value in _CONSTANTS else self._function_call(str(value), [])
            )
        elif value == ".":
            expression = _dot
        elif value == "(":
            expression = self._commands(reader)
            if not reader.take_mark(")"):
                raise TemplateError("template: :1: unclosed left paren")
        else:
            raise TemplateError(f'template: :1: unexpected "{value}" in operand')
        while not reader.finished and reader.peek()[0] == "chain":
            expression = _Field(expression, str(reader.advance()[1]), [])
        return expression

    def _function_call(self, name: str, operands: list[Expression]) -> Expression:
        if name in ("and", "or"):
            return _shortcut(name, operands)
        function = self._functions.get(name)
        if function is None:
            raise TemplateError(f'template: :1: function "{name}" not defined')

        def call(scope: Scope) -> object:
            values = [operand(scope) for operand in operands]
            try:
                return function(*values)
            except (TypeError, AssertionError):
                raise TemplateError(f"error calling {name}: wrong number or type of arguments") from None

        return call


class _Reader:
    """The tokens of one action, from left to right."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._position = 0

    @property
    def finished(self) -> bool:
        return self._position >= len(self._tokens)

    def peek(self) -> Token:
        return self._tokens[self._position]

    def advance(self) -> Token:
        self._position += 1
        return self._tokens[self._position - 1]

    def take_mark(self, mark: str) -> bool:
        found = not self.finished and self.peek() == ("mark", mark)
        self._position += found
        return found


class _Field:
    """`base.name`, with arguments where the field is a function."""

    __slots__ = ("arguments", "base", "name")

    def __init__(self, base: Expression, name: str, arguments: list[Expression]) -> None:
        self.base = base
        self.name = name
        self.arguments = arguments

    def __call__(self, scope: Scope) -> object:
        values = [argument(scope) for argument in self.arguments]
        return field(self.base(scope), self.name, values, scope.absent)


def _dot(scope: Scope) -> object:
    return scope.dot


def _constant(value: object) -> Expression:
    return lambda _scope: value


def _variable(name: str) -> Expression:
    def look_up(scope: Scope) -> object:
        try:
            return scope.variables[name]
        except KeyError:
            raise TemplateError(f'template: :1: undefined variable "{name}"') from None

    return look_up


def _literal(text: str) -> Statement:
    return lambda _scope, output: output.append(text)


def _sequence(statements: list[Statement]) -> Statement:
    def run(scope: Scope, output: list[str]) -> None:
        for statement in statements:
            statement(scope, output)

    return run


def _control(exception: type[_LoopControl]) -> Statement:
    def run(_scope: Scope, _output: list[str]) -> None:
        raise exception

    return run


def _assignment(name: str, expression: Expression, *, declares: bool) -> Statement:
    def run(scope: Scope, _output: list[str]) -> None:
        value = expression(scope)
        if declares:
            scope.variables[name] = value
        else:
            assert isinstance(scope.variables, _Chained)
            scope.variables.assign(name, value)

    return run


def _shortcut(name: str, operands: list[Expression]) -> Expression:
    """`and` gives its first false argument, `or` its first true one, else the last."""

    def call(scope: Scope) -> object:
        value: object = MISSING
        for operand in operands:
            value = operand(scope)
            if truth(value) == (name == "or"):
                break
        return value

    return call


def _pairs(value: object) -> list[tuple[object, object]]:
    """What range goes through: (key, value), maps by sorted key; an integer counts."""
    if value is None or value is MISSING:
        return []
    if isinstance(value, dict):
        return [(key, value[key]) for key in sorted(value, key=str)]
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return [(number, number) for number in range(value)]
    raise TemplateError(f"range can't iterate over {show(value)} ({kind(value)})")
