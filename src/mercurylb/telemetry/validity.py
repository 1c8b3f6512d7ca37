"""Until when a certificate is valid, read without a library that would stay in the daemon's memory.

RFC 5280 §4.1, DER::

    Certificate ::= SEQUENCE { TBSCertificate ::= SEQUENCE {
        [0] version, INTEGER serial, SEQUENCE algorithm, SEQUENCE issuer,
        SEQUENCE { notBefore, notAfter }, … } … }
"""

from __future__ import annotations

import datetime as dt
import ssl
from typing import Final

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_LONG_FORM: Final = 0x80
_CENTURY_PIVOT: Final = 50
_END: Final = "-----END CERTIFICATE-----"


def not_after(pem: str) -> dt.datetime:
    """Give the end of the first certificate of a PEM file; raise ValueError when there is none."""
    begin, end = pem.find(ssl.PEM_HEADER), pem.find(_END)
    if begin < 0 or end < begin:
        raise ValueError("there is no certificate in it")
    der = ssl.PEM_cert_to_DER_cert(pem[begin : end + len(_END)])
    outer, _ = _content(der, 0, _SEQUENCE)
    body, _ = _content(outer, 0, _SEQUENCE)
    at = 0
    if body[:1] == bytes((_VERSION,)):
        at = _content(body, at, _VERSION)[1]
    for _ in range(3):  # Serial number, algorithm, issuer.
        at = _content(body, at)[1]
    validity, _ = _content(body, at, _SEQUENCE)
    _, second = _content(validity, 0)
    text, _ = _content(validity, second)
    return _time(validity[second], text.decode("ascii"))


def _content(data: bytes, at: int, tag: int | None = None) -> tuple[bytes, int]:
    """Give the content of the element at a place, and the place behind it."""
    if len(data) < at + 2 or (tag is not None and data[at] != tag):
        raise ValueError("it is no certificate")
    size, start = data[at + 1], at + 2
    if size & _LONG_FORM:
        start += size - _LONG_FORM
        size = int.from_bytes(data[at + 2 : start], "big")
    if len(data) < start + size:
        raise ValueError("the certificate is cut short")
    return data[start : start + size], start + size


def _time(tag: int, text: str) -> dt.datetime:
    if tag == _UTC_TIME:
        text = ("19" if int(text[:2]) >= _CENTURY_PIVOT else "20") + text
    return dt.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=dt.UTC)
