"""Who a request is from, and what each role may do."""

from enum import StrEnum
from typing import NamedTuple

from streams.http.problems import Problem, unknown_account


class Role(StrEnum):
    """Roles of tokens. An operator may do everything; an account sees itself; a producer brings completions in."""

    OPERATOR = "operator"
    ACCOUNT = "account"
    PRODUCER = "producer"


class Caller(NamedTuple):
    """Whoever makes a request. `token_id` is None on a machine where nobody has to say who they are."""

    role: Role
    token_id: str | None = None
    account_id: str | None = None
    label: str | None = None

    def need(self, *roles: Role) -> None:
        """Raises Problem (403) unless the role is one of these."""
        if self.role not in roles:
            raise Problem(403, "forbidden", f"a token of role {self.role} may not do this")

    def need_account(self, account_id: str) -> None:
        """Raises Problem (404) where the account is not the caller's to see: as if it were not there."""
        self.need(Role.OPERATOR, Role.ACCOUNT)
        if self.role is Role.ACCOUNT and self.account_id != account_id:
            raise unknown_account(account_id)


#: Everybody on this machine, as long as there is no token.
LOOPBACK = Caller(Role.OPERATOR, label="loopback")
