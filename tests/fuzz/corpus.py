"""Inputs that were interesting once: the first octet says where the rest is cut."""

from __future__ import annotations

CORPUS = [
    b"",
    b"\x00",
    b"\x03To: a@b.example\r\n\r\nbody\n.\nmore",
    b"\x01From x Mon\n>From y\nTo: A <a@b.example>, (c (nested)) b@c.example;\n\tG: d@e.example;\n\nx\n",
    b'\x07To: "q, \\"uoted" <"a b"@c.example>, <@r1,@r2:a@b.example>, a@[192.0.2.1]\nBcc: x\n .\n',
    b"\x02Subject : x\nNo header\n\n.\r\n",
    b"\x05\r\r\n\0\n.\0\n..\n.\r",
    b"\x04To: =?utf-8?q?=C3=A9?= <\xc3\xa9@\xc3\xb6.example>, undisclosed-recipients:;\n\n",
    b"\x09" + b"(" * 300 + b")" * 300,
    b"\x09" + b'"' * 301,
    b"\x40To: " + b"a@b.example, " * 200 + b"\n\n",
    b"\x06X: y\n z\n\n",
    b"\x02a..b@c.example, a@b., \\root, |cmd, /file",
]
