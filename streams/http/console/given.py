"""A form between its steps: as it was filled in, what is wrong with it, and what it would do.

What is filled in leads to an address that shows what is wrong with it or what would happen, and so does a refusal: no
answer to a form is a page, so going back and loading again send nothing. Only the last step gives a command.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from fastapi import Request
from sqlalchemy import Connection

from meter.periods import milliseconds
from streams.commands.writing import new_command
from streams.http.console import views
from streams.http.console.forms import CommandForm, field_of
from streams.http.console.render import look_of
from streams.http.console.review import Review, review
from streams.http.placing import command_id
from streams.http.problems import Problem
from streams.http.services import Services
from streams.http.sessions import Visitor
from streams.http.words import WORDS, text, word

MAX_CHARS = 5000
_KEY = re.compile("console-[0-9a-f]{24}")


class Given(NamedTuple):
    """A form as it was filled in. `key`: what makes it one command, where it asks for no number."""

    kind: str
    form: CommandForm
    values: Mapping[str, str]
    key: str

    @property
    def command_key(self) -> str:
        """What makes it the same command when it is sent again."""
        return self.values["number"] if self.form.has_number else self.key

    def asked(self, problem: Problem | None = None) -> dict[str, str]:
        """The query of the address at which it is shown again: with what is wrong, what it would do, or why not.

        What may have been taken all the same keeps its key, so that sent again it is the same command.
        """
        told = {} if problem is None else {"refused": problem.code if problem.code in WORDS["refusal"] else "refused"}
        if problem is not None and problem.status_code >= 500:
            told["key"] = self.key
        filled_in = {name: value for name, value in self.values.items() if value}
        return {"form": self.kind, "step": "review"} | told | filled_in

    def wrong(self, language: str) -> dict[str, str]:
        """What is wrong, by field, in a reader's words."""
        return {name: text(language, message) for name, message in self.form.wrong(self.values).items()}

    def shown(
        self,
        language: str,
        problem: Problem | None = None,
        found: Review | None = None,
        errors: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The form for a page: with what is wrong, or with what it would do."""
        wrong, refused = dict(errors or {}), None
        if problem is not None:
            said = word(language, "refusal", problem.code)
            about = field_of(self.form, problem.code)
            if about is None:
                refused = said
            else:
                wrong[about] = said
        keeps = problem is not None and problem.status_code >= 500
        return {
            "kind": self.kind,
            "values": self.values,
            "errors": wrong,
            "refused": refused,
            "review": found,
            "kept": {"key": self.key} if keeps else {},
        }


async def asked_form(
    request: Request, visitor: Visitor, known: Mapping[str, CommandForm], **whose: str
) -> dict[str, Any] | None:
    """The form that an address asks for, filled in by it, or what that would do; None: it asks for none.

    `whose`: fields of the command that are not asked for.
    """
    query, language = request.query_params, look_of(request).language
    kind = query.get("form", "")
    if kind not in known:
        return None
    values = {name: query.get(name, "")[:MAX_CHARS] for name in known[kind].checks}
    said = _said(query)
    kept = query.get("key", "") if said is not None and said.status_code >= 500 else ""
    given = Given(kind, known[kind], values, kept or new_key())
    if query.get("step") != "review":
        return given.shown(language)
    if wrong := given.wrong(language):
        return given.shown(language, errors=wrong)
    if not given.form.is_reviewed or (said is not None and said.status_code < 500):
        return given.shown(language, said)
    try:
        found = await review_of(request, visitor, given, given.form.command_fields(values) | whose)
        if found.refused is not None:
            raise Problem(409, found.refused, found.refused)
    except Problem as problem:
        return given.shown(language, said or problem)
    return given.shown(language, said, found)


def new_key() -> str:
    """What makes a form one command, however often it is sent."""
    return f"console-{secrets.token_hex(12)}"


def _said(query: Mapping[str, str]) -> Problem | None:
    """What was said against a form when it was sent: one of the contract's codes, so that no link can say more."""
    code = query.get("refused", "")
    if code not in WORDS["refusal"]:
        return None
    return Problem(503 if _KEY.fullmatch(query.get("key", "")) else 409, code, code)


async def review_of(request: Request, visitor: Visitor, given: Given, fields: Mapping[str, Any]) -> Review:
    """What it would do. Raises Problem where its number is none, or there is nothing to judge it by."""
    services: Services = request.app.state.services
    own_id = command_id(visitor.caller, given.command_key)

    def ask(connection: Connection) -> Review:
        here = views.scene(connection)
        if here is None:
            raise Problem(503, "no_figures", "no projector has run yet")
        command = new_command(given.form.command, here.rules, milliseconds(here.now), own_id, **fields)
        return review(connection, here, command)

    return await services.store.read(ask)
