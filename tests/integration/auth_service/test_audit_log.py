"""The audit log."""

from typing import Any


async def test_the_owner_reads_the_log_page_by_page(auth: Any) -> None:
    ada, bob = await auth.sign_up(), await auth.sign_up("bob@example.com")
    await auth.post("/auth/login", {"email": "ada@example.com", "password": "incorrect"}, ip="203.0.113.9")
    await auth.ask("GET", "/user/generate-apikey", user=ada)
    actions, cursor, pages = [], "", 0
    while cursor is not None:
        page = (await auth.ask("GET", f"/user/audit-log?limit=2&cursor={cursor}", user=ada)).body
        actions += [entry["action"] for entry in page["data"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert actions == [
        "api_key.created",
        "session.refused",
        "session.started",
        "account.email_verified",
        "account.signed_up",
    ]
    assert pages == 3
    everything = (await auth.ask("GET", "/user/audit-log", user=ada)).body["data"]
    assert (everything[1]["ip"], everything[1]["detail"]) == ("203.0.113.9", {})
    assert everything[2]["detail"] == {"session_id": ada.session_id}
    assert len((await auth.ask("GET", "/user/audit-log", user=bob)).body["data"]) == 3


async def test_bad_cursors_and_limits_are_refused(auth: Any) -> None:
    user = await auth.sign_up()
    for query, expected in {"cursor=nonsense": (400, "invalid_cursor"), "limit=0": (422, "invalid_request")}.items():
        answer = await auth.ask("GET", f"/user/audit-log?{query}", user=user)
        assert (answer.status, answer.body["code"]) == expected


async def test_what_fails_leaves_no_entry_of_success(auth: Any) -> None:
    await auth.sign_up()
    await auth.post("/auth/signup", {"email": "ada@example.com", "password": "correct horse", "name": "Eve"})
    assert (await auth.audit()).count("account.signed_up") == 1
