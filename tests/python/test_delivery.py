# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the client does when answers stay away, with a registry that is told what to answer."""

import asyncio
import contextlib
import json
import logging

import pytest

import reeve
from reeve import client as clients

LOST = object()  # the connection ends, after the message was read


class Registry:
    """Answers each call by the function it is given: parameters of a reply, an error's name, or LOST. Remembers all calls."""

    def __init__(self, path, answer):
        self.path = str(path)
        self.answer = answer
        self.calls = []
        self.server = None
        self.writers = set()

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *exc):
        await clients.client(self.path).close()
        await self.stop()

    async def start(self):
        self.server = await asyncio.start_unix_server(self.serve, self.path)

    async def stop(self):
        if self.server:
            self.server.close()
            for writer in self.writers:
                writer.close()
            self.server = None

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while True:
                call = json.loads((await reader.readuntil(b"\0"))[:-1])
                method, parameters = call["method"].rpartition(".")[2], call["parameters"]
                self.calls.append((method, parameters))
                answer = self.answer(method, parameters)
                if asyncio.iscoroutine(answer):
                    answer = await answer
                if answer is LOST:
                    return
                reply = {"error": f"io.reeve.Registry.{answer}", "parameters": {"message": answer}} \
                    if isinstance(answer, str) else {"parameters": answer}
                writer.write(json.dumps(reply).encode() + b"\0")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.writers.discard(writer)

    def said(self, method):
        return [p for m, p in self.calls if m == method]


def task(parameters, status="active"):
    return {"task": {"task_id": parameters["task_id"], "status": status}}


def good(method, parameters):
    return {} if method == "Update" else task(parameters)


def reporter(registry, **options):
    return reeve.TaskReporter("test", "unit", socket_path=registry.path, watch=False, **options)


def run(work):
    asyncio.run(asyncio.wait_for(work, 60))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "socket"


def test_a_lost_answer_is_asked_for_again_with_the_same_words(path):
    lose = ["Start", "Complete", "Complete"]

    def answer(method, parameters):
        if method in lose:
            lose.remove(method)
            return LOST
        return task(parameters, "completed" if method == "Complete" else "active")

    async def work():
        async with Registry(path, answer) as registry:
            r = reporter(registry)
            ended = await r.complete_task(await r.start_task("x"))
            assert ended.status == "completed"
            for method, times in (("Start", 2), ("Complete", 3)):
                said = registry.said(method)
                assert len(said) == times and all(p == said[0] for p in said), said
            assert "usage" in said[0]

    run(work())


def test_what_is_published_is_said_again_with_the_same_words(path):
    lose = [".created", ".created", ".completed"]

    def answer(method, parameters):
        assert method == "Publish"
        for what in lose:
            if parameters["topic"].endswith(what):
                lose.remove(what)
                return LOST
        return {"task_id": "x", "status": "active", "event": 1}

    async def work():
        async with Registry(path, answer) as registry:
            bus = reeve.MessageBus(registry.path)
            t = await bus.publish("mission.created", {"title": "x"})
            await asyncio.gather(*(bus.publish(f"mission.{what}", {"mission_id": t}) for what in ("started", "updated", "completed")))
            said = registry.said("Publish")
            assert [p["topic"] for p in said] == [f"mission.{what}" for what in (
                "created", "created", "created", "started", "updated", "completed", "completed")], said
            assert said[0] == said[1] == said[2] and said[0]["payload"]["task_id"] == t

            await registry.stop()
            with pytest.raises(reeve.Unavailable):
                await bus.publish("mission.created", {"title": "given up"}, patience_seconds=0.05)
            await bus.publish("mission.updated", {"mission_id": "m"})
            with pytest.raises(reeve.Unavailable):
                await bus.publish("mission.failed", {"mission_id": "m"}, patience_seconds=0.05)
            await registry.start()
            await clients.client(registry.path).flush()
            told = [p["topic"] for p in registry.said("Publish")[len(said):]]
            assert told == ["mission.updated", "mission.failed"], "in order, and without what was given up"

    run(work())


def test_unavailable_is_not_the_end(path):
    answers = iter(["Unavailable", "Unavailable"])

    async def work():
        async with Registry(path, lambda m, p: next(answers, None) or good(m, p) if m == "Fail" else good(m, p)) as registry:
            r = reporter(registry)
            await r.fail_task(await r.start_task("x"), ValueError("no\0 such \udc80 thing"))
            assert [p["message"] for p in registry.said("Fail")] == ["ValueError: no such ? thing"] * 3

    run(work())


def test_a_refusal_is_raised_and_not_repeated(path):
    async def work():
        async with Registry(path, lambda m, p: "PolicyViolation" if m == "Start" else "AlreadyFinished") as registry:
            r = reporter(registry)
            with pytest.raises(reeve.PolicyViolation):
                await r.start_task("x")
            with pytest.raises(reeve.AlreadyFinished):
                await r.complete_task("some_task")
            with pytest.raises(reeve.InvalidArgument):
                await r.start_task("x", metadata={"a": float("nan")})
            assert len(registry.calls) == 2

    run(work())


def test_updates_do_not_wait_for_who_is_away_and_keep_their_place(path):
    async def work():
        async with Registry(path, good) as registry:
            r = reporter(registry, patience_seconds=0.1)
            t = await r.start_task("x")
            await registry.stop()
            await r.update_task(t, 0.1)  # is tried, and finds out
            for i in range(2, 9):
                await r.update_task(t, i / 10, ml_metrics={f"m{i}": i})
            await r.update_task(t, ml_metrics={"loss": 1.0}, step=1)
            await r.update_task(t, ml_metrics={"loss": 0.5}, step=2)
            with pytest.raises(reeve.Unavailable, match="waits"):
                await r.complete_task(t, message="done")
            with pytest.raises(reeve.Unavailable):
                await r.flush(0.01)

            await registry.start()
            await r.flush()
            assert [m for m, _ in registry.calls] == ["Start"] + ["Update"] * 4 + ["Complete"], registry.calls
            merged = registry.said("Update")[1]
            assert merged["progress"] == 0.8 and merged["ml_metrics"] == {f"m{i}": i for i in range(2, 9)}
            assert [p["step"] for p in registry.said("Update")[2:]] == [1, 2]

    run(work())


def test_a_start_that_was_given_up_is_not_told_later(path):
    async def work():
        registry = Registry(path, good)
        r = reporter(registry, patience_seconds=0.05)
        with pytest.raises(reeve.Unavailable):
            await r.start_task("x")
        async with registry:
            await r.flush()
            assert registry.calls == []

    run(work())


def test_what_waits_is_bounded_but_for_ends(path, monkeypatch):
    monkeypatch.setattr(clients, "WAITING_MAX", 3)

    async def work():
        async with Registry(path, good) as registry:
            r = reporter(registry, patience_seconds=0.05)
            t = await r.start_task("x")
            await registry.stop()
            for step in range(3):
                await r.update_task(t, ml_metrics={"a": step}, step=step)
            with pytest.raises(reeve.LimitExceeded):
                await r.update_task(t, ml_metrics={"a": 4}, step=4)
            with pytest.raises(reeve.Unavailable):
                await r.complete_task(t)
            await registry.start()
            await r.flush()
            assert [m for m, _ in registry.calls] == ["Start"] + ["Update"] * 3 + ["Complete"]

    run(work())


def test_an_end_that_is_being_verified_holds_up_nobody(path):
    async def work():
        verified = asyncio.Event()

        async def slowly(parameters):
            await verified.wait()
            return task(parameters, "completed")

        async with Registry(path, lambda m, p: slowly(p) if m == "Complete" else good(m, p)) as registry:
            r = reporter(registry, patience_seconds=0.05)
            end = asyncio.ensure_future(r.complete_task(await r.start_task("x")))
            await r.update_task(await r.start_task("y"), 0.5)
            assert not end.done(), "and patience is for a registry that is away"
            verified.set()
            assert (await end).status == "completed"

    run(work())


def test_a_cancelled_caller_takes_nothing_back(path):
    async def work():
        reached, go = asyncio.Event(), asyncio.Event()

        async def slowly(parameters):
            reached.set()
            await go.wait()
            return task(parameters)

        async with Registry(path, lambda m, p: slowly(p) if m == "Complete" else good(m, p)) as registry:
            r = reporter(registry)
            end = asyncio.ensure_future(r.complete_task(await r.start_task("x")))
            await reached.wait()
            end.cancel()
            with pytest.raises(asyncio.CancelledError):
                await end
            go.set()
            await r.flush()
            assert len(registry.said("Complete")) == 1

    run(work())


def test_many_at_once_share_a_connection(path):
    async def work():
        async with Registry(path, good) as registry:
            r = reporter(registry)
            ids = await asyncio.gather(*(r.start_task(str(i)) for i in range(200)))
            assert len(set(ids)) == 200 and len(registry.writers) == 1
            await asyncio.gather(*(r.complete_task(t) for t in ids))
            assert len(registry.said("Complete")) == 200
            assert len(registry.writers) <= clients.ENDS_MAX + 1

    run(work())


def test_a_failure_is_reported_and_the_exception_goes_on(path, caplog):
    answers = {"Fail": None}

    async def work():
        async with Registry(path, lambda m, p: answers.get(m) or good(m, p)) as registry:
            r = reporter(registry)
            for answers["Fail"] in (None, "AlreadyFinished"):
                with pytest.raises(KeyError, match="lost"):
                    async with r.task("x") as t:
                        t.metric("epochs_completed", 3)
                        raise KeyError("lost")
            said = registry.said("Fail")
            assert [p["message"] for p in said] == ["KeyError: 'lost'"] * 2
            assert said[0]["ml_metrics"] == {"epochs_completed": 3}
            assert "could not be reported" in caplog.text

    with caplog.at_level(logging.WARNING, "reeve"):
        run(work())


def test_an_update_that_nobody_waits_for_is_refused_aloud(path, caplog):
    async def work():
        async with Registry(path, lambda m, p: "InvalidArgument" if m == "Update" else good(m, p)) as registry:
            async with reporter(registry).task("x") as t:
                t.progress(7)
            assert len(registry.said("Complete")) == 1

    run(work())
    assert "an update was refused" in caplog.text


def test_connections_that_a_restart_has_ended_are_not_used_again(path):
    async def work():
        async with Registry(path, good) as registry:
            r = reporter(registry)
            for _ in range(2):
                await asyncio.gather(*(r.complete_task(t) for t in [await r.start_task("x") for _ in range(5)]))
                await registry.stop()
                await registry.start()
            assert len(registry.said("Complete")) == 10

    run(work())


async def answer_with(data, path):
    """A server that answers each call with these bytes."""
    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\0"):
                writer.write(data)
        writer.close()

    return await asyncio.start_unix_server(serve, path)


@pytest.mark.parametrize("nonsense", [b"nonsense\0", b"5\0", b"\0", b"\xff\0"])
def test_nonsense_from_the_other_side(path, nonsense):
    async def work():
        server = await answer_with(nonsense, path)
        with pytest.raises(reeve.ConnectionLost):
            await clients.client(str(path)).call("Get", {"task_id": "x"}, patience=0.1)
        server.close()

    run(work())


def test_an_answer_to_nothing_is_no_answer_to_the_next(path):
    async def work():
        server = await answer_with(b'{"parameters": {"n": 1}}\0{"parameters": {"n": 2}}\0', path)
        client = clients.client(str(path))
        assert [(await client.call("Get", {}))["n"] for _ in range(3)] == [1, 1, 1]
        await client.close()
        server.close()

    run(work())
