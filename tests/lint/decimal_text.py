"""A plugin of mypy: amounts become text by `meter.money.decimal_text` and in no other way.

`str` and f-strings write some exact zeros as `0E-8`, and `16.8` for what the contract writes as `16.80`. The checker of
types knows where a Decimal is, also in a tuple; it sees f-strings as calls of `str.format`. A format such as `:f` says
how, and is let through.
"""

from collections.abc import Callable, Iterable

from mypy.errorcodes import ErrorCode
from mypy.nodes import CallExpr, Expression, MemberExpr, NameExpr, StrExpr
from mypy.plugin import FunctionContext, MethodContext, Plugin
from mypy.types import Instance, NoneType, TupleType, Type, UnionType, get_proper_type

DECIMAL_TEXT = ErrorCode("decimal-text", "A Decimal becomes text by decimal_text alone", "Money")
MESSAGE = "a Decimal becomes text by meter.money.decimal_text"


class DecimalText(Plugin):
    """Looks at what is made a text of."""

    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        return _refuse if fullname in ("builtins.str", "builtins.repr", "builtins.format", "builtins.print") else None

    def get_method_hook(self, fullname: str) -> Callable[[MethodContext], Type] | None:
        if fullname == "builtins.str.format":
            return _refuse
        return (
            _refuse_own
            if fullname.startswith(("_decimal.Decimal.__", "decimal.Decimal.__"))
            and fullname.endswith(("__str__", "__repr__", "__format__"))
            else None
        )


def _refuse(context: FunctionContext | MethodContext) -> Type:
    if not _is_told_how(context.context):
        for types, expressions in zip(context.arg_types, context.args, strict=True):
            for type_, expression in zip(types, expressions, strict=True):
                if _is_decimal(type_):
                    context.api.fail(MESSAGE, expression, code=DECIMAL_TEXT)
    return context.default_return_type


def _refuse_own(context: MethodContext) -> Type:
    context.api.fail(MESSAGE, context.context, code=DECIMAL_TEXT)
    return context.default_return_type


def _is_told_how(call: object) -> bool:
    """Whether it is an f-string's part with a format of its own: `'{:{}}'.format(value, 'f')`."""
    if not isinstance(call, CallExpr) or not isinstance(call.callee, MemberExpr | NameExpr) or len(call.args) < 2:
        return False
    last: Expression = call.args[-1]
    return isinstance(last, StrExpr) and bool(last.value)


def _is_decimal(type_: Type) -> bool:
    proper = get_proper_type(type_)
    if isinstance(proper, UnionType):
        return any(map(_is_decimal, _items(proper)))
    if isinstance(proper, TupleType):
        return any(map(_is_decimal, proper.items))
    return isinstance(proper, Instance) and proper.type.fullname in ("decimal.Decimal", "_decimal.Decimal")


def _items(union: UnionType) -> Iterable[Type]:
    return [item for item in union.items if not isinstance(get_proper_type(item), NoneType)]


def plugin(version: str) -> type[Plugin]:
    """mypy's entry."""
    return DecimalText
