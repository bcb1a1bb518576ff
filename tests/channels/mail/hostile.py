"""Letters that are made to hurt whoever reads them, by what they are; each up to the size cap of forty megabytes."""

from __future__ import annotations

HEAD = b"From: =?koi8-r?B?6dfBzg==?= <ann@y.ru>\r\nTo: Support <s@x.ru>, b@x.ru\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
SPACE = 40_000_000
HOSTILE = {
    "40 MB of text": lambda: HEAD + b"\r\n" + b"hello world\n" * (SPACE // 12),
    "40 MB of base64": lambda: (
        HEAD + b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"QUJD\r\n" * (SPACE // 6)
    ),
    "40 MB of padding": lambda: (
        HEAD + b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"QQ==\r\n" * (SPACE // 6)
    ),
    "40 MB of a header": lambda: b"Subject: " + b"a" * SPACE,
    "40 MB of folds": lambda: b"Subject: a\n" + b" \n" * (SPACE // 2),
    "40 MB of almost boundaries": lambda: HEAD + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"\n--xy" * (SPACE // 5),
    "40 MB of HTML": lambda: HEAD + b"Content-Type: text/html\r\n\r\n" + b"<li>" * (SPACE // 4),
    "10,000 parts": lambda: HEAD + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\na\r\n" * 10_000,
    "1,000 parts of headers": lambda: (
        HEAD + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + (b"--x\r\n" + b"a:b\r\n" * 7_000) * 1_000
    ),
    "2,000 multiparts in one another": lambda: (
        HEAD
        + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(2_000))
        + b"x" * 30_000_000
    ),
    "a header of 1 MB": lambda: b"Subject: " + b"a" * 1_000_000 + b"\r\n" + HEAD + b"\r\nx",
    "brackets": lambda: (
        b"From: " + b"(" * 5_000 + b" a@b.ru\r\nTo: " + b'"\\' * 49_000 + b"\r\nCc: " + b"<" * 90_000 + b"\r\n\r\nx"
    ),
    "20,000 parameters": lambda: (
        HEAD + b"Content-Type: text/plain" + b"".join(b"; p%d=v" % n for n in range(20_000)) + b"\r\n\r\nx"
    ),
    "100,000 encoded words": lambda: b"From: a@b\r\nSubject: " + b"=?utf-8?B?0J8=?= " * 100_000 + b"\r\n\r\nx",
    "encoded words that never end": lambda: (
        b"From: " + b"=?utf-8?Q?" * 9_000 + b"\r\nSubject: " + b"=?u?B?" * 15_000 + b"\r\n\r\nx"
    ),
    "a bounce of nothing else": lambda: b"From: mailer-daemon@x\r\nSubject: failure notice\r\n\r\n" + b"<a@b.ru>: \n" * 2_000_000,
}
