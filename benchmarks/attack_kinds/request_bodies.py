"""Requests as files that are none: name -> text; the answer to each is an error in words."""

from __future__ import annotations

import json

BODIES = {
    "nested lists": "[" * 100_000,
    "nested objects": '{"operation": "segment", "arguments": ' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "}",
    "a lone surrogate in a path": '{"operation": "segment", "arguments": {"image": "/\\ud800", "labels": "/b"}}',
    "a lone surrogate in the operation": '{"operation": "\\udfff", "arguments": {}}',
    "a lone surrogate in a key": '{"operation": "segment", "arguments": {"\\udabc": 1}}',
    "a lone surrogate in the options": '{"operation": "segment", "arguments": {}, "options": "\\ud800=1"}',
    "NUL in a path": '{"operation": "segment", "arguments": {"image": "/a\\u0000", "labels": "/b"}}',
    "NUL in the operation": '{"operation": "seg\\u0000ment", "arguments": {}}',
    "a line break in a path": '{"operation": "segment", "arguments": {"image": "/a", "labels": "/b\\nshow=/x"}}',
    "a list for the operation": '{"operation": ["segment"], "arguments": {}}',
    "an object for the operation": '{"operation": {"segment": 1}, "arguments": {}}',
    "a list for the arguments": '{"operation": "segment", "arguments": []}',
    "a list for the options": '{"operation": "segment", "arguments": {}, "options": []}',
    "a list for a number": '{"operation": "segment", "arguments": {"image": "/a", "labels": "/b", "trees": [1]}}',
    "an object for a path": '{"operation": "segment", "arguments": {"image": {}, "labels": "/b"}}',
    "a list in a list of paths": '{"operation": "apply", "arguments": {"classifier": "/c", "images": [["/a"]]}}',
    "4,301 digits": '{"operation": "segment", "arguments": {"image": "/a", "labels": "/b", "trees": '
    + "9" * 4301
    + "}}",
    "a million digits": '{"operation": "segment", "arguments": {"trees": ' + "9" * 1_000_000 + "}}",
    "4,301 digits in the options": json.dumps(
        {"operation": "segment", "arguments": {"image": "/a", "labels": "/b"}, "options": f"trees={'9' * 4301}"}
    ),
    "NaN": '{"operation": "segment", "arguments": {"image": "/a", "labels": "/b", "trees": NaN}}',
    "1e999": '{"operation": "segment", "arguments": {"image": "/a", "labels": "/b", "seed": 1e999}}',
    "no JSON": "operation=segment",
    "nothing": "",
    "null": "null",
    "no operation": "{}",
    "2 MB": " " * 2**21,
    "no UTF-8": "\udcff\udcfe",
    "half a request": '{"operation": "segment", "argu',
    "an operation of 100 kB": json.dumps({"operation": "x" * 100_000, "arguments": {}}),
    "an argument of 100 kB": json.dumps({"operation": "segment", "arguments": {"x" * 100_000: 1}}),
    "a value of 500 kB": json.dumps(
        {"operation": "segment", "arguments": {"image": "/a", "labels": "/b", "engine": "x" * 500_000}}
    ),
    "options of 64 kB": json.dumps({"operation": "segment", "arguments": {}, "options": "ab " * 21_000}),
    "options of 900 kB": json.dumps({"operation": "segment", "arguments": {}, "options": " " * 900_000 + "="}),
    "brackets": json.dumps({"operation": "segment", "arguments": {}, "options": "a=[" * 50_000}),
    "an option twice": json.dumps(
        {
            "operation": "segment",
            "arguments": {"image": "/a", "labels": "/b"},
            "options": "out=[/x] overwrite out=[/home]",
        }
    ),
}
