"""submission/authors.py: From and Sender fields without an address."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sendmail_py.errors import NotPermittedError
from sendmail_py.mail import addresslist
from sendmail_py.policy import config
from sendmail_py.policy.masquerade import SenderRules
from sendmail_py.submission import authors, complete
from sendmail_py.submission.submit import sender_rules

OWN = b"shop@isp.example"


def rules_of(folder: Path, override: str = "allow") -> SenderRules:
    file = folder / "config.toml"
    file.write_text(
        f'[identity]\ndomain = "isp.example"\n[masquerade]\noverride = "{override}"\n'
        '[masquerade.users]\n"*" = "greg@isp.example"\n'
    )
    return sender_rules(config.load({"HOME": str(folder)}, str(file)), 0)


@pytest.fixture
def rules(tmp_path: Path) -> SenderRules:
    return rules_of(tmp_path)


# The value as it was written, and as it leaves.
MENDED = [
    (b"Nightly Backup", b"Nightly Backup <shop@isp.example>"),
    (b'"Nightly Backup"', b"Nightly Backup <shop@isp.example>"),
    (b"Backup <>", b"Backup <shop@isp.example>"),
    (b"<>", b"<shop@isp.example>"),
    (b'"" <>', b'"" <shop@isp.example>'),
    (b'""', b"shop@isp.example"),
    (b"(Cron Daemon)", b"Cron Daemon <shop@isp.example>"),
    (b",", b"shop@isp.example"),
    (b"joe at example.org", b'"joe at example.org" <shop@isp.example>'),
    (b"a@b@c.org", b'"a@b@c.org" <shop@isp.example>'),
    (b"@localhost", b'"@localhost" <shop@isp.example>'),
    # an address that can be seen counts, by the rules
    (b"Joe <joe@example.org", b"Joe <joe@example.org>"),
    (b"joe@localhost>", b"joe@isp.example"),
    (b'"Gray, P." gray@example.org', b'"Gray P." <gray@example.org>'),
    (b"Joe Doe, Jane <jane@example.org>", b"Joe Doe Jane <jane@example.org>"),
    (b"A Name <root@(none)>", b"A Name <shop@isp.example>"),
    (b"Joe <joe@example.org> jr", b"Joe <joe@example.org>"),
    (b"mailto:joe@example.org", b"mailto <joe@example.org>"),
    (b'"My Shop", joe@example.org', b"My Shop <joe@example.org>"),
    (b"John <>, Joe <joe@localhost>", b"John <shop@isp.example>, Joe <joe@isp.example>"),
    # names keep their characters, and never begin a field
    (b"=?utf-8?q?J=C3=B6?= X", b"=?utf-8?q?J=C3=B6?= X <shop@isp.example>"),
    (b"J\xc3\xb6rg X", b"=?utf-8?B?SsO2cmcgWA==?= <shop@isp.example>"),
    (b"J\xf6rg X", b"=?iso-8859-1?B?SvZyZyBY?= <shop@isp.example>"),
    (b"Joe\r\n\tDoe", b"Joe Doe <shop@isp.example>"),
    (b"x\x01y <joe", b"x y <shop@isp.example>"),
]


@pytest.mark.parametrize(("value", "wanted"), MENDED)
def test_an_author_can_be_answered_whatever_was_written(
    rules: SenderRules, value: bytes, wanted: bytes
) -> None:
    new, changes = complete.repair_senders(b" " + value + b"\r\n", rules, True, OWN)
    assert new.strip() == wanted
    assert new.endswith(b"\r\n")
    assert [rule for _, _, rule in changes if rule in (authors.MISSING, authors.MALFORMED)]


@pytest.mark.parametrize(
    "value", [b" joe@example.org\r\n", b" Nobody:;\r\n", b" \r\n", b' "A B" <joe@example.org>\r\n', b""]
)
def test_an_address_list_a_group_and_an_empty_field_stay(rules: SenderRules, value: bytes) -> None:
    assert complete.repair_senders(value, rules, True, OWN) == (value, [])


@pytest.mark.parametrize("value", [b" Nightly Backup\r\n", b" <>\r\n", b" (x)\r\n"])
def test_where_answers_go_is_not_made_up(rules: SenderRules, value: bytes) -> None:
    assert complete.repair_senders(value, rules, False, OWN) == (value, [])


def test_no_malformed_field_is_a_way_around_the_rules(tmp_path: Path) -> None:
    with pytest.raises(NotPermittedError):
        complete.repair_senders(b" Boss <boss@isp.example\r\n", rules_of(tmp_path, "refuse"), True, OWN)
    new, _ = complete.repair_senders(b" Boss <boss@isp.example\r\n", rules_of(tmp_path, "fix"), True, OWN)
    assert new == b" Boss <greg@isp.example>\r\n"


WORDS = st.sampled_from(
    [b"Joe", b"<", b">", b"@", b",", b'"', b"(", b")", b":", b";", b"x@y.org", b"\\", b"\xe9", b"\x02", b"."]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS, min_size=1, max_size=8), st.sampled_from([b"", b" "]))
def test_what_comes_out_is_an_address_list_that_stays(
    rules: SenderRules, words: list[bytes], between: bytes
) -> None:
    new, _ = complete.repair_senders(b" " + between.join(words) + b"\r\n", rules, True, OWN)
    addresslist.parse_list(new)
    assert new.count(b"\r\n") == 1
    assert complete.repair_senders(new, rules, True, OWN) == (new, [])
