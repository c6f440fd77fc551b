"""Claims about the sender rules: only what is invalid or not permitted changes, and by a named rule."""

from __future__ import annotations

import fnmatch
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.errors import NotPermittedError
from sendmail_py.mail import address
from sendmail_py.policy import identity, masquerade, validity
from sendmail_py.policy.masquerade import SenderRules

MISSING = "/nonexistent/file"


def rules(
    login: str = "bob",
    node: str = "box",
    domain: str = "",
    mail: str = "",
    also: tuple[str, ...] = (),
    exceptions: tuple[str, ...] = (),
    users: dict[str, list[str]] | None = None,
    override: str = "fix",
) -> SenderRules:
    """The rules under a configuration: `mail` is identity.domain, the rest are the keys of [masquerade]."""
    config: Any = SimpleNamespace(
        identity=SimpleNamespace(domain=mail, helo="", local_names=[]),
        masquerade=SimpleNamespace(
            domain=domain, also=list(also), exceptions=list(exceptions), users=users or {}, override=override
        ),
        queue=SimpleNamespace(directory=""),
    )
    host = identity.host(config, node.encode(), MISSING, MISSING)
    return SenderRules(config, host, identity.Person(1000, login.encode(), ""))


USERS = {
    "root": ["greg@isp.example"],
    "www-data": ["shop@isp.example", "*@shop.example"],
    "*": ["*@everybody.example"],
}
FEW = {"root": ["greg@isp.example"], "www-data": ["shop@isp.example", "*@shop.example"]}

MAPPED = {
    "root@nas.lan": ["greg@isp.example"],
    "*@nas.lan": ["*@isp.example"],
    "*@*.lan": ["lan@isp.example"],
    "@old.example": ["*@new.example"],
    "alert-*@mon.example": ["ops@isp.example"],
}

# Settings, login, given address, wanted address, wanted rule.
PLAIN: dict[str, Any] = {"domain": "example.net"}
REPAIRS: list[tuple[dict[str, Any], str, bytes, bytes, str]] = [
    # nothing is known about the user: only what is invalid changes
    (PLAIN, "bob", b"", b"", ""),
    (PLAIN, "bob", b"bob", b"bob@example.net", "domain"),
    (PLAIN, "bob", b"carl", b"carl@example.net", "domain"),
    (PLAIN, "bob", b"\\carl", b"carl@example.net", "domain"),
    (PLAIN, "bob", b'"c d"', b'"c d"@example.net', "domain"),
    (PLAIN, "bob", b"bob@box", b"bob@example.net", "domain"),
    (PLAIN, "bob", b"bob@BOX", b"bob@example.net", "domain"),
    (PLAIN, "bob", b"bob@localhost", b"bob@example.net", "domain"),
    (PLAIN, "bob", b"bob@localhost.localdomain", b"bob@example.net", "domain"),
    (PLAIN, "bob", b"bob@box.lan", b"bob@example.net", "domain"),
    (PLAIN, "bob", b"bob@other", b"bob@example.net", "domain"),
    (PLAIN, "bob", b"bob@a..b", b"bob@example.net", "domain"),
    (PLAIN, "bob", b"bob@192.0.2.1", b"bob@example.net", "domain"),
    (PLAIN, "bob", b"bob@[127.0.0.1]", b"bob@example.net", "domain"),
    (PLAIN, "bob", b"bob@[192.0.2.1]", b"bob@[192.0.2.1]", ""),
    (PLAIN, "bob", b"bob@example.net", b"bob@example.net", ""),
    (PLAIN, "bob", b"bob@EXAMPLE.net", b"bob@EXAMPLE.net", ""),
    (PLAIN, "bob", b"any+one@isp.example", b"any+one@isp.example", ""),
    (PLAIN, "bob", b"bob@lan.example.net", b"bob@lan.example.net", ""),
    # the mail domain serves where masquerade.domain is not set
    ({"mail": "example.net"}, "bob", b"bob", b"bob@example.net", "completed"),
    ({"mail": "example.net"}, "bob", b"bob@localhost", b"bob@example.net", "domain"),
    ({"mail": "example.net", "node": "b.example.net"}, "bob", b"bob@b.example.net", b"bob@example.net",
     "domain"),
    ({"node": "box.example.org"}, "bob", b"bob", b"bob@box.example.org", "completed"),
    ({"node": "box.example.org"}, "bob", b"bob@box.example.org", b"bob@box.example.org", ""),
    ({"node": "box.example.org"}, "bob", b"bob@localhost", b"bob@box.example.org", "domain"),
    # nothing better is known
    ({}, "bob", b"bob", b"bob@box", "completed-invalid"),
    ({}, "bob", b"bob@box", b"bob@box", ""),
    ({}, "bob", b"bob@localhost", b"bob@localhost", ""),
    ({"node": "box.lan"}, "bob", b"bob", b"bob@box.lan", "completed-invalid"),
    ({"domain": "home.lan"}, "bob", b"bob", b"bob@home.lan", "completed-invalid"),
    ({"domain": "home.lan"}, "bob", b"bob@box", b"bob@home.lan", "domain"),
    ({"domain": "home.lan"}, "bob", b"bob@home.lan", b"bob@home.lan", ""),
    # also
    (PLAIN | {"also": ("lan.example.net",)}, "bob", b"bob@lan.example.net", b"bob@example.net", "also"),
    (PLAIN | {"also": ("lan.example.net",)}, "bob", b"bob@a.b.LAN.example.net", b"bob@example.net", "also"),
    (PLAIN | {"also": (".lan.example.net",)}, "bob", b"bob@a.lan.example.net", b"bob@example.net", "also"),
    (PLAIN | {"also": ("lan.example.net",)}, "bob", b"bob@wlan.example.net", b"bob@wlan.example.net", ""),
    (PLAIN | {"also": ("example.net",)}, "bob", b"bob@www.example.net", b"bob@example.net", "also"),
    (PLAIN | {"also": ("example.net",)}, "bob", b"bob@example.net", b"bob@example.net", ""),
    # exceptions
    (PLAIN | {"exceptions": ("root",)}, "root", b"root@box", b"root@box", ""),
    (PLAIN | {"exceptions": ("root",), "node": "b.example"}, "root", b"root", b"root@b.example", "exception"),
    (PLAIN | {"exceptions": ("root",), "mail": "m.example"}, "root", b"root", b"root@m.example", "exception"),
    (PLAIN | {"exceptions": ("root",), "mail": "m.example"}, "root", b"bob", b"bob@example.net", "domain"),
    (PLAIN | {"exceptions": ("root",), "users": FEW}, "root", b"root", b"greg@isp.example", "users"),
    (PLAIN | {"exceptions": ("bob",), "users": USERS}, "bob", b"bob@box", b"bob@box", ""),
    (PLAIN | {"exceptions": ("bob",), "users": USERS}, "bob", b"x@isp.example", b"x@isp.example", ""),
    # the users table
    (PLAIN | {"users": FEW}, "root", b"root", b"greg@isp.example", "users"),
    (PLAIN | {"users": FEW}, "root", b"root@box", b"greg@isp.example", "users"),
    (PLAIN | {"users": FEW}, "root", b"root@box.lan", b"greg@isp.example", "users"),
    (PLAIN | {"users": FEW}, "root", b"greg@isp.example", b"greg@isp.example", ""),
    (PLAIN | {"users": FEW}, "root", b"greg@ISP.example", b"greg@ISP.example", ""),
    (PLAIN | {"users": FEW}, "root", b"root@isp.example", b"greg@isp.example", "override"),
    (PLAIN | {"users": FEW}, "root", b"bob", b"greg@isp.example", "override"),
    (PLAIN | {"users": FEW}, "bob", b"root", b"greg@isp.example", "users"),
    (PLAIN | {"users": FEW}, "bob", b"bob", b"bob@example.net", "domain"),
    (PLAIN | {"users": FEW}, "bob", b"bob@isp.example", b"bob@isp.example", ""),
    (PLAIN | {"users": FEW}, "www-data", b"www-data@box", b"shop@isp.example", "users"),
    (PLAIN | {"users": FEW}, "www-data", b"orders@shop.example", b"orders@shop.example", ""),
    (PLAIN | {"users": FEW}, "www-data", b"orders@Shop.example", b"orders@Shop.example", ""),
    (PLAIN | {"users": FEW}, "www-data", b"orders@a.shop.example", b"shop@isp.example", "override"),
    (PLAIN | {"users": FEW}, "www-data", b"www-data@isp.example", b"shop@isp.example", "override"),
    (PLAIN | {"users": FEW}, "www-data", b"root", b"shop@isp.example", "override"),
    (PLAIN | {"users": FEW, "override": "allow"}, "www-data", b"bob@isp.example", b"bob@isp.example", ""),
    (PLAIN | {"users": FEW, "override": "allow"}, "www-data", b"bob@box", b"bob@example.net", "domain"),
    (PLAIN | {"users": FEW, "override": "refuse"}, "www-data", b"www-data@box", b"shop@isp.example", "users"),
    (PLAIN | {"users": FEW, "override": "refuse"}, "bob", b"any@isp.example", b"any@isp.example", ""),
    (PLAIN | {"users": USERS}, "bob", b"bob", b"bob@everybody.example", "users"),
    (PLAIN | {"users": USERS}, "bob", b"bob@box", b"bob@everybody.example", "users"),
    (PLAIN | {"users": USERS}, "bob", b"carl", b"bob@everybody.example", "override"),
    (PLAIN | {"users": USERS}, "a b", b'"a b"', b'"a b"@everybody.example', "users"),
    (PLAIN | {"users": {"bob": ["bobby"]}}, "bob", b"bob", b"bobby@example.net", "users"),
    (PLAIN | {"users": {"bob": ["shop-*@x.example"]}}, "bob", b"bob", b"shop-bob@x.example", "users"),
    (PLAIN | {"users": {"bob": ["shop-*@x.example"]}}, "a b", b"a", b"a@example.net", "domain"),
    (PLAIN | {"users": {"bob": ["*@*.x.example"]}}, "bob", b"bob", b"bob@example.net", "users"),
    (PLAIN | {"users": {"bob": ["*@*.x.example"]}}, "bob", b"q@a.x.example", b"q@a.x.example", ""),
    (PLAIN | {"users": {"bob": ["*@*"]}}, "bob", b"q@box", b"q@example.net", "domain"),
    # an address that a person wrote into the table is believed, but for its own login only
    (PLAIN | {"users": {"bob": ["bob@nas.lan"]}}, "bob", b"bob", b"bob@nas.lan", "users"),
    (PLAIN | {"users": {"bob": ["bob@nas.lan"]}}, "bob", b"bob@nas.lan", b"bob@nas.lan", ""),
    (PLAIN | {"users": {"bob": ["bobby@nas.lan"]}}, "carl", b"bob", b"bobby@example.net", "users"),
    # by uid, for logins without an entry of their own
    (PLAIN | {"users": {"uid1000": ["u@isp.example"]}}, "bob", b"bob", b"u@isp.example", "users"),
    (PLAIN | {"users": {"uid1000": ["u@isp.example"], "*": ["e@x.example"]}}, "bob", b"bob@box",
     b"u@isp.example",
     "users"),
    (PLAIN | {"users": {"uid1000": ["u@isp.example"], "bob": ["b@x.example"]}}, "bob", b"bob", b"b@x.example",
     "users"),
    (PLAIN | {"users": {"uid1001": ["u@isp.example"]}}, "bob", b"bob", b"bob@example.net", "domain"),
    (PLAIN | {"users": {"uid1000": ["u@isp.example"], "*": ["e@x.example"]}, "exceptions": ("bob",)}, "bob",
     b"bob", b"u@isp.example", "users"),
    # by address and by domain
    (PLAIN | {"users": MAPPED}, "bob", b"root@nas.lan", b"greg@isp.example", "address"),
    (PLAIN | {"users": MAPPED}, "bob", b"root@NAS.lan", b"greg@isp.example", "address"),
    (PLAIN | {"users": MAPPED}, "bob", b"Root@nas.lan", b"Root@isp.example", "address"),
    (PLAIN | {"users": MAPPED}, "bob", b"carl@nas.lan", b"carl@isp.example", "address"),
    (PLAIN | {"users": MAPPED}, "bob", b"carl@a.b.lan", b"lan@isp.example", "address"),
    (PLAIN | {"users": MAPPED}, "bob", b"carl@lan", b"carl@example.net", "domain"),
    (PLAIN | {"users": MAPPED}, "bob", b"carl@old.example", b"carl@new.example", "address"),
    (PLAIN | {"users": MAPPED}, "bob", b"carl@new.example", b"carl@new.example", ""),
    (PLAIN | {"users": MAPPED}, "bob", b"alert-7@mon.example", b"ops@isp.example", "address"),
    (PLAIN | {"users": MAPPED}, "bob", b"other@mon.example", b"other@mon.example", ""),
    (PLAIN | {"users": MAPPED}, "bob", b'"a b"@nas.lan', b'"a b"@isp.example', "address"),
    (PLAIN | {"users": MAPPED}, "bob", b"bob", b"bob@example.net", "domain"),
    (PLAIN | {"users": {"bob@example.net": ["b@isp.example"]}}, "bob", b"bob", b"b@isp.example", "address"),
    (PLAIN | {"users": {"bob@example.net": ["b@isp.example"]}}, "bob", b"bob@box", b"b@isp.example",
     "address"),
    (PLAIN | {"users": {"a@x.example": ["b@x.example"], "b@x.example": ["c@x.example"]}}, "bob",
     b"a@x.example",
     b"b@x.example", "address"),
    (PLAIN | {"users": {"a@x.example": ["b@x.example"], "b@x.example": ["a@x.example"]}}, "bob",
     b"a@x.example",
     b"a@x.example", ""),
    (PLAIN | {"users": MAPPED | {"bob": ["bob@isp.example"]}}, "bob", b"carl@nas.lan", b"bob@isp.example",
     "override"),
    (PLAIN | {"users": {"@nas.lan": ["greg@isp.example"], "bob": ["bob@isp.example"]}}, "bob",
     b"carl@nas.lan",
     b"bob@isp.example", "override"),
    (PLAIN | {"users": FEW, "exceptions": ("*@keep.example",)}, "www-data", b"a@keep.example",
     b"a@keep.example", ""),
    (PLAIN | {"users": FEW, "exceptions": ("*@keep.lan",), "override": "refuse"}, "www-data", b"a@keep.lan",
     b"a@keep.lan", ""),
    # exceptions by address and domain, sub-domains with and without the domain itself
    (PLAIN | {"exceptions": ("*@keep.lan",)}, "bob", b"bob@keep.lan", b"bob@keep.lan", ""),
    (PLAIN | {"exceptions": ("@keep.lan",)}, "bob", b"bob@keep.lan", b"bob@keep.lan", ""),
    (PLAIN | {"exceptions": ("*@keep.lan",)}, "bob", b"bob@a.keep.lan", b"bob@example.net", "domain"),
    (PLAIN | {"exceptions": ("*@*.keep.lan",)}, "bob", b"bob@a.keep.lan", b"bob@a.keep.lan", ""),
    (PLAIN | {"exceptions": ("ann@nas.lan",)}, "bob", b"ann@nas.lan", b"ann@nas.lan", ""),
    (PLAIN | {"exceptions": ("ann@nas.lan",)}, "bob", b"bob@nas.lan", b"bob@example.net", "domain"),
    (PLAIN | {"exceptions": ("ann@nas.lan",), "users": MAPPED}, "bob", b"ann@nas.lan", b"ann@nas.lan", ""),
    (PLAIN | {"also": ("*.lan.example.net",)}, "bob", b"bob@lan.example.net", b"bob@lan.example.net", ""),
    (PLAIN | {"also": ("*.lan.example.net",)}, "bob", b"bob@a.lan.example.net", b"bob@example.net", "also"),
    (PLAIN | {"also": ("example.net",), "exceptions": ("*@lists.example.net",)}, "bob",
     b"bob@lists.example.net",
     b"bob@lists.example.net", ""),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "login", "old", "new", "rule"), REPAIRS)
def test_repairs_what_it_must_and_names_the_rule(
    settings: dict[str, Any], login: str, old: bytes, new: bytes, rule: str
) -> None:
    assert rules(login=login, **settings).repair(old) == (new, rule)


@pytest.mark.parametrize(("settings", "login", "old", "new", "rule"), REPAIRS)
def test_a_repaired_address_is_not_repaired_again(
    settings: dict[str, Any], login: str, old: bytes, new: bytes, rule: str
) -> None:
    assert rules(login=login, **settings).repair(new) == (new, "")


@pytest.mark.parametrize(
    ("settings", "login", "wanted", "rule"),
    [
        (PLAIN, "bob", b"bob@example.net", "domain"),
        (PLAIN, "a b", b'"a b"@example.net', "domain"),
        (PLAIN, "DOM\\bob", b'"DOM\\\\bob"@example.net', "domain"),
        (PLAIN | {"users": FEW}, "root", b"greg@isp.example", "users"),
        (PLAIN | {"users": USERS}, "bob", b"bob@everybody.example", "users"),
        (
            PLAIN | {"users": USERS, "exceptions": ("bob",), "mail": "m.example"},
            "bob",
            b"bob@m.example",
            "exception",
        ),
        (PLAIN | {"users": {"bob": []}}, "bob", b"bob@example.net", "domain"),
        ({"mail": "m.example"}, "bob", b"bob@m.example", "completed"),
        ({}, "bob", b"bob@box", "completed-invalid"),
    ],
)
def test_the_default_is_the_users_own_address(
    settings: dict[str, Any], login: str, wanted: bytes, rule: str
) -> None:
    here = rules(login=login, **settings)
    assert here.default_with_rule() == (wanted, rule)
    assert here.default() == wanted
    assert here.repair(wanted) == (wanted, "")


def test_refuses_what_the_user_may_not_use_and_says_what_is_permitted() -> None:
    with pytest.raises(NotPermittedError) as error:
        rules(login="www-data", users=FEW, override="refuse", **PLAIN).repair(b"boss\x1b@isp.example")
    line = str(error.value)
    assert line.isprintable()
    assert "boss" in line and "www-data" in line
    assert "shop@isp.example, *@shop.example" in line


@pytest.mark.parametrize(
    ("login", "value", "wanted"),
    [
        ("root", b" root (Cron Daemon)\r\n", b" greg@isp.example (Cron Daemon)\r\n"),
        ("root", b' "(Cron Daemon)" <root>\r\n', b' "(Cron Daemon)" <greg@isp.example>\r\n'),
        ("root", b" root <root@box>\r\n", b" root <greg@isp.example>\r\n"),
        ("bob", b" Bob\r\n  <@x,@y:bob@box>\r\n", b" Bob\r\n  <bob@example.net>\r\n"),
        ("bob", b" bob,\r\n\t=?a?q?C=2C?= <c@box>, d@e.test\r\n",
         b" bob@example.net,\r\n\t=?a?q?C=2C?= <c@example.net>, d@e.test\r\n"),
        ("bob", b' Us: bob, "C, D" <c@d.example>;\r\n', b' Us: bob@example.net, "C, D" <c@d.example>;\r\n'),
        ("bob", b" bob@example.net (ok)\r\n", b" bob@example.net (ok)\r\n"),
        ("bob", b" bob@isp.example.\r\n", b" bob@isp.example.\r\n"),
        ("bob", b"", b""),
    ],
)  # fmt: skip
def test_a_header_field_changes_in_its_bad_addresses_only(login: str, value: bytes, wanted: bytes) -> None:
    new, changes = rules(login=login, users=FEW, **PLAIN).repair_field(value)
    assert new == wanted
    assert bool(changes) == (new != value)


@pytest.mark.parametrize("value", [b" <>\r\n", b" Bob <bob@box\r\n", b" two words\r\n", b' "Two Words"\r\n'])
def test_an_author_without_an_address_is_no_list_of_authors(value: bytes) -> None:
    with pytest.raises(address.AddressError):
        rules(login="bob", users=FEW, **PLAIN).repair_field(value)


def test_a_changed_field_tells_old_new_and_rule() -> None:
    _, changes = rules(login="root", users=FEW, **PLAIN).repair_field(b"root, bob@box")
    assert changes == [(b"root", b"greg@isp.example", "users"), (b"bob@box", b"greg@isp.example", "override")]


def test_answers_may_go_to_anybody_who_can_be_reached() -> None:
    here = rules(login="www-data", users=FEW, override="refuse", **PLAIN)
    value = b" Visitor <visitor@mail.example>, bob\r\n"
    assert (
        here.repair_field(value, author=False)[0] == b" Visitor <visitor@mail.example>, bob@example.net\r\n"
    )
    with pytest.raises(NotPermittedError):
        here.repair_field(value)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b" bob\r\n", b" bob@m.example\r\n"),
        (
            b' "B, C" <bob>,\r\n carl (C), d@box\r\n',
            b' "B, C" <bob@m.example>,\r\n carl@m.example (C), d@box\r\n',
        ),
        (b" G: bob, c@x;\r\n", b" G: bob@m.example, c@x;\r\n"),
        (b" \\bob\r\n", b" bob@m.example\r\n"),
        (b" undisclosed-recipients:;\r\n", b" undisclosed-recipients:;\r\n"),
        (b" <>\r\n", b" <>\r\n"),
        (b" bob carl\r\n", b" bob carl\r\n"),
    ],
)
def test_recipient_fields_are_completed_and_nothing_else(value: bytes, wanted: bytes) -> None:
    assert masquerade.complete_field(value, b"m.example") == wanted


@pytest.mark.parametrize(
    ("pattern", "text", "match"),
    [
        (b"a@x", b"a@x", True),
        (b"a@x", b"a@X", True),
        (b"a@x", b"A@x", False),
        (b"*@x", b"a@x", True),
        (b"*@x", b"a@y", False),
        (b"*@x", b"a@b.x", False),
        (b"*@*.x", b"a@b.x", True),
        (b"*@*.x", b"a@x", False),
        (b"a+*@x", b"a+list@x", True),
        (b"a+*@x", b"a@x", False),
        (b"a*b*c@x", b"a1b2c@x", True),
        (b"a*b*c@x", b"acb@x", False),
        (b"a*a@x", b"a@x", False),
        (b"*", b"a@x", False),
        (b"*@x", b'"b@x"@y', False),
        (b"*@x", b'"b@y"@x', True),
        (b"x-*@x", b'"x-a b"@x', True),
        (b"a@x", b'"a"@x', True),
        (b"a?@x", b"ab@x", False),
        (b"[ab]@x", b"a@x", False),
    ],
)
def test_only_the_star_is_a_wildcard(pattern: bytes, text: bytes, match: bool) -> None:
    assert masquerade.matches(pattern, text) is match


@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_matches_as_the_standard_library_does(pattern: str, text: str) -> None:
    assert masquerade.glob(pattern.encode(), text.encode()) is fnmatch.fnmatchcase(text, pattern)


LOGINS = st.sampled_from(["root", "bob", "www-data", "a b", "carl"])
DOMAINS = st.sampled_from(
    [
        "example.net",
        "isp.example",
        "lan.example.net",
        "a.lan.example.net",
        "box",
        "box.lan",
        "localhost",
        "shop.example",
        "a..b",
        "[10.0.0.1]",
    ]
)
ENTRIES = st.sampled_from(
    [
        "greg@isp.example",
        "*@shop.example",
        "root",
        "bob@box",
        "bob@box.lan",
        "*@*",
        "x-*@isp.example",
        "carl@localhost",
        "*@*.example",
    ]
)
KEYS = st.sampled_from(["*", "uid1000", "root@box.lan", "*@lan.example.net", "@shop.example", "*@*.example"])
SETTINGS = st.fixed_dictionaries(
    {
        "login": LOGINS,
        "node": st.sampled_from(["box", "box.lan", "box.example.org", "example.net"]),
        "domain": st.sampled_from(["", "example.net", "home.lan", "lan.example.net"]),
        "mail": st.sampled_from(["", "example.net", "isp.example"]),
        "also": st.lists(DOMAINS, max_size=2).map(tuple),
        "exceptions": st.lists(LOGINS | st.just("*@box.lan"), max_size=2).map(tuple),
        "users": st.dictionaries(LOGINS | KEYS, st.lists(ENTRIES, max_size=2), max_size=4),
        "override": st.sampled_from(["allow", "fix"]),
    }
)
GIVEN = st.builds(
    lambda login, domain: address.quote_local(login.encode()) + (b"@" + domain.encode() if domain else b""),
    LOGINS | st.just("other"),
    DOMAINS | st.just(""),
)


@given(SETTINGS, GIVEN)
def test_repairing_twice_is_repairing_once(settings: dict[str, Any], old: bytes) -> None:
    here = rules(**settings)
    new, _ = here.repair(old)
    assert here.repair(new) == (new, "")
    assert here.repair(here.default()) == (here.default(), "")
    author, _ = here.repair(old, author=False)
    assert here.repair(author, author=False) == (author, "")


@given(SETTINGS, GIVEN)
def test_what_is_answerable_and_permitted_stays(settings: dict[str, Any], old: bytes) -> None:
    here = rules(**settings)
    domain = address.split(old)[1]
    fine = domain and not validity.fault(domain, here.host.local_names) and not here.in_also(domain)
    if fine and not here.mapped and (not here.entry or here.names(old)):
        assert here.repair(old) == (old, "")


@given(SETTINGS, GIVEN)
def test_fixing_leaves_only_permitted_addresses(settings: dict[str, Any], old: bytes) -> None:
    here = rules(**settings | {"override": "fix"})
    new, rule = here.repair(old)
    assert address.split(new)[1], "never a bare name"
    assert not here.entry or here.names(new) or here.is_kept(new)
    assert bool(rule) == (new != old)


@given(SETTINGS, GIVEN)
def test_refusing_never_refuses_the_default_or_changes_what_fixing_keeps(
    settings: dict[str, Any], old: bytes
) -> None:
    strict = rules(**settings | {"override": "refuse"})
    fixing = rules(**settings | {"override": "fix"})
    assert strict.repair(strict.default()) == (strict.default(), "")
    try:
        assert strict.repair(old) == fixing.repair(old)
    except NotPermittedError:
        assert fixing.repair(old)[1] == "override"
