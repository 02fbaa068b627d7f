"""The sandbox of templates: they can compute and call the functions of a page, and nothing else.

A page's template may come from anybody. In Jinja's sandbox it reaches no attribute that begins with
an underscore, no function of Python's and no module, and changes nothing but its own lists.
"""

from __future__ import annotations

from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

_LONGEST = 1_000_000
"""Entries or characters that a multiplication may make."""

_HIGHEST = 1_000
"""The largest exponent."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which a template can also append to its own lists."""

    intercepted_binops = frozenset({"*", "**"})

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may use an attribute."""
        return bool(super().is_safe_attribute(obj, attr, value)) or (
            attr == "append" and isinstance(obj, list)
        )

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Return a product or a power that is not absurdly large.

        Raises:
            SecurityError: It is.
        """
        if operator == "**" and abs(right) > _HIGHEST:
            raise SecurityError(f"the exponent {right} is too large; expected {_HIGHEST} at most")
        for one, other in ((left, right), (right, left)):
            repeated = isinstance(one, str | list | tuple) and isinstance(other, int)
            if repeated and len(one) * other > _LONGEST:
                raise SecurityError(f"a product of over {_LONGEST:,} entries or characters")
        return super().call_binop(context, operator, left, right)
