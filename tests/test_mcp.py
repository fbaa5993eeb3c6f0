"""Each call of an MCP tool is one event and one trace, and the tool never notices."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import json

import pytest

from ingest.mcp import ARGUMENTS_MAX, KEYS_MAX, MCPTools, instrument_tool
from ingest.older import TelemetryClient
from tests.said import client, dropped, rows

WHO = {"user_id_hash": "abc123", "user_tier": "paid", "session_id": "s1", "project_id": "p1"}
SEVEN = (
    *("tool_call", "branch_create", "search_context", "update_memory"),
    *("compress_context", "reference_suggest", "ontology_classify"),
)


def metadata(row):
    return json.loads(row["metadata"])


class Server:
    """The shape of an MCP server's own decorator: it reads the signature and keeps the handler."""

    def __init__(self):
        self.tools = {}
        self.signatures = {}
        self.descriptions = {}

    def tool(self, name=None, *, description=""):
        """Register a handler, as `@server.tool()`."""
        if callable(name):
            raise TypeError("use @server.tool()")

        def decorate(handler):
            self.tools[name or handler.__name__] = handler
            self.descriptions[name or handler.__name__] = description
            self.signatures[name or handler.__name__] = inspect.signature(handler)
            return handler

        return decorate


class BareServer(Server):
    """A server whose decorator may stand without brackets."""

    def tool(self, name=None, *, description=""):
        """Register a handler, as `@server.tool` or `@server.tool()`."""
        if callable(name):
            return super().tool(description=description)(name)
        return super().tool(name, description=description)


# --- one decorator ---


def test_a_call_is_one_event_and_one_trace(home):
    with client(home) as made:

        @instrument_tool(made, who=WHO)
        def search_context(query, project_id, top_k=5):
            return {"success": True, "results": ["a", "b", "c"]}

        assert search_context("how do I fire Bob", "p2")["results"] == ["a", "b", "c"]

    [event], [trace] = rows(home), rows(home, "traces")
    assert (event["event_name"], event["result"]) == ("server_operation_called", "success")
    assert (trace["operation_name"], trace["success"]) == ("search_context", 1)
    assert (trace["result_count"], trace["duration_ms"]) == (3, event["duration_ms"])
    assert metadata(event) == metadata(trace)
    assert metadata(event) == {
        "tool_name": "search_context",
        "query_length": 17,
        "top_k": 5,
        "results_count": 3,
    }
    for row in (event, trace):
        assert [row[name] for name in WHO] == list(WHO.values())
    assert made.stats()["flagged"] == 0


def test_a_failing_call_is_an_error_as_well_and_raises_the_same_exception(home):
    failure = ValueError("no such project")
    with client(home) as made:

        @instrument_tool(made, who=WHO)
        def update_memory(text):
            raise failure

        with pytest.raises(ValueError, match="no such project") as caught:
            update_memory("secret text")

    assert caught.value is failure
    [event], [error], [trace] = rows(home), rows(home, "errors"), rows(home, "traces")
    assert (event["result"], trace["success"]) == ("error", 0)
    assert (error["error_type"], error["error_message"]) == ("ValueError", "no such project")
    assert error["related_event_name"] == "server_operation_called"
    assert metadata(error) == {"tool_name": "update_memory"}
    assert error["user_id_hash"] == "abc123"


@pytest.mark.parametrize(
    ("failure", "result", "errors"),
    [
        pytest.param(TimeoutError(), "timeout", 1, id="timeout"),
        pytest.param(KeyError("x"), "error", 1, id="error"),
        pytest.param(KeyboardInterrupt(), "cancelled", 0, id="interrupt"),
        pytest.param(asyncio.CancelledError(), "cancelled", 0, id="cancelled"),
    ],
)
def test_the_result_says_how_a_call_ended(home, failure, result, errors):
    with client(home) as made:

        @instrument_tool(made, "load")
        def handler():
            raise failure

        with pytest.raises(type(failure)):
            handler()

    assert [row["result"] for row in rows(home)] == [result]
    assert len(rows(home, "errors")) == errors


class Answer:
    """What a server's library returns for a tool: an object."""

    def __init__(self, *, failed, content=None):
        self.isError = failed
        self.structuredContent = content


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ({"success": False, "error": "no index"}, "error"),
        ({"isError": True, "content": []}, "error"),
        ({"is_error": True}, "error"),
        ({"structuredContent": {"success": False}}, "error"),
        (Answer(failed=True), "error"),
        (Answer(failed=False, content={"success": False}), "error"),
        ({"success": True}, "success"),
        ({"success": None}, "success"),
        ({"isError": False}, "success"),
        (Answer(failed=False), "success"),
        ("isError", "success"),
        (None, "success"),
        ([], "success"),
    ],
)
def test_an_answer_may_say_that_the_call_failed(home, answer, result):
    with client(home) as made:
        assert instrument_tool(made, "load")(lambda: answer)() is answer

    assert [row["result"] for row in rows(home)] == [result]
    assert rows(home, "traces")[0]["success"] == (result == "success")
    assert rows(home, "errors") == []


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ({"before_tokens": 900, "after_tokens": 300}, {"before_tokens": 900, "after_tokens": 300}),
        ({"savings_rate": 0.7, "text": "code"}, {"savings_rate": 0.7}),
        ({"suggestions": ["a.py", "b.py"]}, {"suggestion_count": 2}),
        ({"accepted": True, "file": "a.py"}, {"accepted": True}),
        ({"suggestion_count": 4, "suggestions": ["a"]}, {"suggestion_count": 4}),
        ({"category": "backend", "confidence": 0.9}, {"category": "backend", "confidence": 0.9}),
        ({"model": "said by a user", "status": "x", "route": "/home/alice", "rows": 7}, {}),
        ({"results": "many", "top_k": "5", "secret": 7}, {}),
        (["a", "b"], {"results_count": 2}),
        (Answer(failed=False, content={"results": [1]}), {"results_count": 1}),
        ("the text of an answer", {}),
    ],
)
def test_of_an_answer_only_allowed_numbers_and_a_category_are_kept(home, answer, kept):
    with client(home) as made:
        instrument_tool(made, "x")(lambda: answer)()

    assert metadata(rows(home)[0]) == {"tool_name": "x"} | kept
    assert made.stats()["flagged"] == 0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"query": "abc", "top_k": 3}, {"query_length": 3, "top_k": 3}),
        ({"prompt": "abc", "text": "abc", "content": "abc", "language": "abc", "model": "abc"}, {}),
        ({"arguments": {"query": "abc", "top_k": 3, "code": "x"}}, {"query_length": 3, "top_k": 3}),
        ({"query": None, "top_k": "3", "phone": 5551234}, {}),
        ({"query": ["a"], "auto": True}, {"auto": True}),
        ({"auto_or_manual": "auto"}, {"auto_or_manual": "auto"}),
        ({"auto_or_manual": "automatically, said Bob"}, {}),
        ({"auto_or_manual": ["unhashable"], "params": {"params": {"top_k": 1}}}, {}),
    ],
)
def test_of_the_arguments_no_text_is_kept(home, given, kept):
    with client(home) as made:

        @instrument_tool(made, "x")
        def handler(**kwargs):
            return kwargs

        assert handler(**given) == given

    # what the handler answered here are the arguments once more
    assert made.stats()["flagged"] == 0
    assert metadata(rows(home)[0]) == {"tool_name": "x"} | kept


def test_a_key_the_team_added_is_kept(home):
    (home / "telemetry.toml").write_text('[metadata]\nchunks = "number"\n')
    with client(home) as made:
        instrument_tool(made, "x")(lambda: {"chunks": 12, "others": 3})()

    assert metadata(rows(home)[0]) == {"tool_name": "x", "chunks": 12}


def test_an_async_handler_stays_async_and_is_timed_to_its_end(home):
    with client(home) as made:

        @instrument_tool(made)
        async def search_context(query: str) -> list[str]:
            await asyncio.sleep(0.02)
            return [query]

        assert inspect.iscoroutinefunction(search_context)
        assert asyncio.run(search_context("abc")) == ["abc"]
        later = instrument_tool(made, "later")(lambda: search_context.__wrapped__("abc"))
        assert asyncio.run(later()) == ["abc"]

    assert [metadata(row)["results_count"] for row in rows(home)] == [1, 1]
    assert all(row["duration_ms"] >= 19 for row in rows(home))


def test_an_async_call_that_is_cancelled_says_so(home):
    with client(home) as made:

        @instrument_tool(made)
        async def search_context():
            await asyncio.sleep(60)

        async def main():
            task = asyncio.create_task(search_context())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())

    assert [row["result"] for row in rows(home)] == ["cancelled"]


def test_every_kind_of_handler_is_instrumented(home):
    class Tools:
        def method(self, query):
            return [query]

        async def __call__(self, query):
            return [query]

    with client(home) as made:
        say = instrument_tool(made)
        assert say(Tools().method)("a") == ["a"]
        assert asyncio.run(say(Tools())("b")) == ["b"]
        assert say(functools.partial(Tools().method, query="c"))() == ["c"]
        assert say(len)([1, 2]) == 2

    names = [metadata(row)["tool_name"] for row in rows(home)]
    assert names == ["method", "Tools", "partial", "len"]


def test_who_is_asked_for_each_call_in_its_own_context(home):
    person = contextvars.ContextVar("person")

    async def main(tool):
        async def one(name):
            person.set(name)
            await tool()

        await asyncio.gather(one("u1"), one("u2"))

    with client(home) as made:

        @instrument_tool(made, who=lambda: {"user_id_hash": person.get(), "result": "no"})
        async def load():
            await asyncio.sleep(0)

        asyncio.run(main(load))

    assert sorted(row["user_id_hash"] for row in rows(home)) == ["u1", "u2"]


def test_ids_among_the_arguments_fill_in_what_who_does_not_say(home):
    with client(home) as made:

        @instrument_tool(made, who={"user_id_hash": "abc", "project_id": "p1", "context_id": None})
        def load_context(project_id, context_id, branch_id=None):
            return None

        load_context("p2", context_id="c1", branch_id="/home/alice/secret")

    [row] = rows(home)
    assert (row["project_id"], row["context_id"]) == ("p1", "c1")
    assert "alice" not in row["branch_id"]


def test_a_host_that_cannot_say_who_loses_only_that(home):
    def nobody():
        raise LookupError("no request")

    made = client(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TELEMETRY_STRICT", "0")
        tool = instrument_tool(made, "load", who=nobody)(lambda: 1)
    assert tool() == 1
    made.close()

    assert len(rows(home)) == 1


def test_an_answer_that_cannot_be_read_does_not_reach_the_host(home, monkeypatch):
    class Sly:
        @property
        def isError(self):  # noqa: N802 - the protocol's own name
            raise RuntimeError("no")

    monkeypatch.setenv("TELEMETRY_STRICT", "0")
    answer = Sly()
    with client(home) as made:
        assert instrument_tool(made, "load")(lambda: answer)() is answer


def test_a_tool_works_with_telemetry_off(home):
    made = client(home, enabled=False)

    assert instrument_tool(made, "load", who=WHO)(lambda: [1])() == [1]
    assert list(home.iterdir()) == []


def test_an_older_client_serves_as_well(home):
    with TelemetryClient("mcp", home) as made:
        instrument_tool(made, "load")(lambda: None)()

    assert rows(home)[0]["channel"] == "server"


def test_the_bare_decorator_says_that_the_server_was_called_whatever_the_tool(home):
    with client(home) as made:
        instrument_tool(made, "create_branch")(lambda: None)()

    assert rows(home)[0]["event_name"] == "server_operation_called"


def test_a_handler_instrumented_twice_says_each_call_once(home):
    with client(home) as made:
        say = instrument_tool(made, "load")
        say(say(lambda: None))()

    assert len(rows(home)) == len(rows(home, "traces")) == 1


def test_an_annotation_that_cannot_be_resolved_stays_text(home):
    def load(context: Missing):  # noqa: F821 - the point
        return context

    with client(home) as made:
        tool = instrument_tool(made)(load)

    assert str(inspect.signature(tool)) == "(context: 'Missing')"


def test_more_arguments_or_answers_than_the_limit_are_not_looked_at(home):
    many = {f"x{number}": number for number in range(ARGUMENTS_MAX)}
    with client(home) as made:
        instrument_tool(made, "x")(lambda **_: many | {"confidence": 1})(**many, top_k=1)

    assert ARGUMENTS_MAX == KEYS_MAX
    assert metadata(rows(home)[0]) == {"tool_name": "x"}


# --- a set of tools ---


def test_each_of_the_seven_tools_gives_its_standard_event(home):
    with client(home) as made:
        handlers = {name: (lambda **_: {"success": True}) for name in SEVEN}
        for handler in MCPTools(made, who=WHO).wrap(handlers).values():
            handler()

    found = {metadata(row)["tool_name"]: row["event_name"] for row in rows(home)}
    assert found == dict.fromkeys(SEVEN, "server_operation_called") | {
        "branch_create": "context_created"
    }


@pytest.mark.parametrize(
    ("name", "given", "event"),
    [
        ("branch_create", {}, "context_created"),
        ("branch_create", {"auto_or_manual": "manual"}, "context_created"),
        ("branch_create", {"auto_or_manual": "auto"}, "context_auto_created"),
        ("create_branch", {"auto": True}, "context_auto_created"),
        ("create_branch", {"auto": False}, "context_created"),
        ("mcp.branch_create", {"automatic": True}, "context_auto_created"),
        ("create_context", {"automatic": 1}, "context_auto_created"),
        ("load_context", {"auto": True}, "context_loaded"),
        ("resume_context", {}, "context_resumed"),
        ("modify_context", {}, "context_modified"),
        ("merge_context", {}, "context_merged"),
        ("delete_context", {}, "context_deleted"),
        ("context_protection_blocked", {}, "context_protection_blocked"),
        ("suggest_reference", {}, "server_operation_called"),
        ("classify_ontology", {}, "server_operation_called"),
        ("anything_else", {}, "server_operation_called"),
    ],
)
def test_a_tool_that_is_a_step_of_a_contexts_life_says_so(home, name, given, event):
    with client(home) as made:
        MCPTools(made).wrap({name: lambda **_: None})[name](**given)

    assert [row["event_name"] for row in rows(home)] == [event]
    assert metadata(rows(home)[0])["tool_name"] == name


@pytest.mark.parametrize(
    ("given", "tool", "event"),
    [
        ({"tool_name": "search_context"}, "search_context", "server_operation_called"),
        ({"name": "branch_create"}, "branch_create", "context_created"),
        ({"name": "create_branch", "auto": True}, "create_branch", "context_auto_created"),
        ({"name": "the text of a prompt"}, "tool_call", "server_operation_called"),
        ({"name": "x" * 65}, "tool_call", "server_operation_called"),
        ({"name": "load", "arguments": {"name": "acme"}}, "load", "server_operation_called"),
        ({"name": None}, "tool_call", "server_operation_called"),
    ],
)
def test_a_handler_that_calls_other_tools_goes_by_the_one_it_calls(home, given, tool, event):
    with client(home) as made:
        wrapped = MCPTools(made).wrap({"tool_call": lambda **_: None, "load": lambda **_: None})
        wrapped["tool_call"](**given)
        wrapped["load"](**given)

    called, load = rows(home)
    assert (metadata(called)["tool_name"], called["event_name"]) == (tool, event)
    assert rows(home, "traces")[0]["operation_name"] == tool
    assert metadata(load)["tool_name"] == "load"


def test_an_answer_may_say_that_the_branch_was_created_automatically(home):
    with client(home) as made:
        MCPTools(made).tool("create_branch")(lambda: {"auto": True})()

    assert rows(home)[0]["event_name"] == "context_auto_created"


def test_a_failed_branch_is_related_to_the_event_it_would_have_been(home):
    with client(home) as made:

        @MCPTools(made).tool()
        def create_branch(topic, auto):
            raise PermissionError

        with pytest.raises(PermissionError):
            create_branch("secret topic", auto=True)

    assert rows(home, "errors")[0]["related_event_name"] == "context_auto_created"
    assert rows(home)[0]["result"] == "error"


def test_a_servers_own_decorator_instruments_what_it_is_given(home):
    server = Server()
    with client(home) as made:
        MCPTools(made, who=WHO).install(server)

        @server.tool()
        def search_context(query: str, top_k: int = 5) -> list[str]:
            """Search."""
            return [query]

        @server.tool("create_branch", description="Creates a branch.")
        def handle(topic: str, *, auto: bool = True):
            return topic

        @server.tool(name="resume_context")
        async def resume(context_id: str):
            return context_id

        assert search_context("abc") == ["abc"]
        assert server.tools["search_context"]("abc", top_k=2) == ["abc"]
        server.tools["create_branch"]("a topic")
        asyncio.run(server.tools["resume_context"]("c1"))

    assert [row["event_name"] for row in rows(home)] == [
        "server_operation_called",
        "server_operation_called",
        "context_auto_created",
        "context_resumed",
    ]
    shown = server.signatures["search_context"]
    assert str(shown) == "(query: str, top_k: int = 5) -> list[str]", "types, not their names"
    assert server.tools["search_context"].__doc__ == "Search."
    assert server.descriptions["create_branch"] == "Creates a branch."


def test_a_decorator_without_brackets_works_where_the_server_allows_it(home):
    bare, strict = BareServer(), Server()
    with client(home) as made:
        MCPTools(made).install(bare)
        MCPTools(made).install(strict)

        @bare.tool
        def load_context():
            return 1

        assert bare.tools["load_context"]() == 1
        with pytest.raises(TypeError, match=r"@server\.tool\(\)"):
            strict.tool(load_context)

    assert [row["event_name"] for row in rows(home)] == ["context_loaded"]


def test_installing_twice_says_each_call_once(home):
    server = Server()
    with client(home) as made:
        MCPTools(made).install(server)
        MCPTools(made).install(server)
        server.tool("load_context")(lambda: None)
        server.tools["load_context"]()

    assert len(rows(home)) == 1
    assert not dropped(made)
