"""Claims about lists of the everyday form: what the quick way says is what the long way says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sendmail_py.mail import address, addresslist, everyday
from sendmail_py.mail.address import AddressError
from sendmail_py.policy import masquerade

# A text, its addresses if the quick way is to read it.
TEXTS: list[tuple[bytes, list[bytes] | None]] = [
    (b"ann@a.example", [b"ann@a.example"]),
    (b" ann\r\n", [b"ann"]),
    (b"a@y <a@x.example>", [b"a@x.example"]),
    (b" ann@a.example\r\n", [b"ann@a.example"]),
    (b" a@x.org,\r\n b@x.org,\r\n\tc@x.org\r\n", [b"a@x.org", b"b@x.org", b"c@x.org"]),
    (b"a@x.example,b@x.example,  c@x.example,", [b"a@x.example", b"b@x.example", b"c@x.example"]),
    (b"Ann A. Able <a@x.org>, b@x.org, <c@x.org>", [b"a@x.org", b"b@x.org", b"c@x.org"]),
    (b'"Able, Ann (her)" <a@x.example>', [b"a@x.example"]),
    (b"J\xc3\xb6rg <a@x.example>", [b"a@x.example"]),
    (b"=?utf-8?q?A=2C_b?= <a@x.example>", [b"a@x.example"]),
    (b"", None),
    (b"a@x.example, ann", None),
    (b"<>", None),
    (b"a@x.example (Ann)", None),
    (b'"ann"@x.example', None),
    (b'"a \\" b" <a@x.example>', None),
    (b"a@b@c", None),
    (b"a b@x.example", None),
    (b"Ann <a@x.example> b", None),
    (b"a..b@x.example", None),
    (b"a@x.example.", None),
    (b"a@[192.0.2.1]", None),
    (b"Friends: a@x.example;", None),
    (b"a@x.example\nb@x.example", None),
    (b"a@x.example\r\nBcc: b@x.example", None),
    (b'"a\nb" <a@x.example>', None),
    (b"a@x.example\0", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), TEXTS)
def test_reads_the_everyday_form_and_declines_the_rest(text: bytes, wanted: list[bytes] | None) -> None:
    assert everyday.addresses(text) == wanted


WORDS = 'a@b.org|ann|Ann |<|>|<a@b>|B <c@d.org>|, |,|\r\n |\n |\r\n|\t| |"|"x, y" |\\|(c)|:|;|@|.|-|\x0b'
PIECES = st.sampled_from([*[word.encode() for word in WORDS.split("|")], b"\xc3\xbc", b"\xff"])
LINE = 'a@b.example|Ann <c@D.example>|"x, y" <e@f>|<g+h@i.example>|bob|j@k.|"l"@m|n@o (p)'
ELEMENTS = st.sampled_from([one.encode() for one in LINE.split("|")])
BREAKS = st.sampled_from([b",", b", ", b",\r\n ", b",\r\n\t", b" ,", b",,", b";"])
LISTS = st.lists(PIECES, max_size=9).map(b"".join) | st.lists(st.tuples(ELEMENTS, BREAKS), max_size=5).map(
    lambda pairs: b"".join([one + end for one, end in pairs])
)


@given(LISTS)
def test_what_is_read_the_quick_way_is_what_the_long_way_reads(text: bytes) -> None:
    quick = everyday.addresses(text)
    try:
        slow = [mailbox.address for mailbox in addresslist.parse_list(text)]
    except AddressError:
        slow = None
    assert quick is None or quick == slow
    if slow:
        assert everyday.domains(slow) in (set(), {address.split(one)[1] for one in slow})


OPERANDS = [
    (b"a@x.org",),
    (b"a@x.org,b@y.org", b"c@z.org"),
    (b"ann", b"Ann <a@x.org>", b'"a'),
    (b"", b"a@x.org"),
]


@given(st.lists(LISTS, max_size=4) | st.sampled_from(OPERANDS).map(list))
def test_several_lists_read_together_are_what_each_of_them_is(texts: list[bytes]) -> None:
    together = everyday.all_addresses(texts)
    if together is not None:
        assert together == [one for text in texts for one in addresslist.addresses(text)]


def test_plain_operands_are_read_together_and_others_are_not() -> None:
    found = [everyday.all_addresses(list(texts)) for texts in OPERANDS]
    assert found == [[b"a@x.org"], [b"a@x.org", b"b@y.org", b"c@z.org"], None, [b"a@x.org"]]


@given(LISTS)
def test_a_list_with_all_its_domains_is_not_completed(text: bytes) -> None:
    if everyday.has_domains(text):
        try:
            slow, _ = masquerade.edited(text, lambda one: masquerade.completed_with(one, b"mail.example"))
        except AddressError:
            return
        assert slow == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b" a@x, B <b@x>,\r\n c@x\r\n", True),
        (b' "B, C" <b@x>', True),
        (b" ann", False),
        (b" a@x, ann", False),
        (b" a@x <ann>", False),
        (b' "a@x" <ann>', False),
        (b" ann (a@x)", False),
        (b" <>", False),
        (b"", False),
    ],
)
def test_a_bare_name_is_never_taken_for_an_address_with_a_domain(text: bytes, wanted: bool) -> None:
    assert everyday.has_domains(text) == wanted


DOMAINS = st.text("aB0-._\xfc[", min_size=1, max_size=12).map(str.encode)


@given(st.sets(DOMAINS, min_size=1, max_size=3))
def test_many_domains_are_judged_as_each_of_them_is(domains: set[bytes]) -> None:
    if address.are_domains(domains):
        assert [address.domain_fault(one) for one in domains] == [""] * len(domains)


def test_usual_domains_pass_and_long_ones_do_not() -> None:
    assert address.are_domains({b"a.example", b"host_name.b-c.example", b"localhost"})
    assert not address.are_domains({b"a.example", b"a" * 64 + b".example"})
    assert not address.are_domains({b"a.example", b"a." * 127 + b"example"})
