"""Texts that an enemy could have a node say: each would do something to a terminal, or hide.

Sequences carry numbers that nothing of ours ever prints, such as 777, so that one that gets
through is told from ours.
"""

import itertools
from collections.abc import Iterator

ESC, CSI, OSC, ST, BEL = "\x1b", "\x1b[", "\x1b]", "\x1b\\", "\x07"


def corpus() -> list[str]:
    """All of them; each is there once."""
    return list(dict.fromkeys(itertools.chain.from_iterable(kind() for kind in _KINDS)))


def _controls() -> Iterator[str]:
    """Every C0 and C1 control, and DEL."""
    yield from (f"a{chr(code)}b" for code in (*range(0x20), *range(0x7F, 0xA0)))


def _sequences() -> Iterator[str]:
    """What moves, erases, colours, asks, and switches modes; with ESC and as one C1 byte."""
    sequences = (
        *("31;777m", "0;777m", "38;2;77;7;7m", "777A", "777B", "777C", "777D", "777;7H", "7;777f"),
        *("2J", "3J", "0K", "777X", "777P", "777@", "777L", "777M", "777S", "777T", "777b"),
        *("?1049h", "?1049l", "?25l", "?2004h", "?1000h", "?1003h", "?1006h", "?5h", "?7l"),
        *("777;778r", "!p", "6n", "5n", "c", ">c", "=c", "18t", "21t", "8;777;777t", "?2026h"),
        *("?777$p", ">777u", "<777u", "777 q", "s", "u", "777z", "20h", "4h", "'|", "1'z"),
    )
    for each in sequences:
        yield f"a{CSI}{each}b"
    for each in sequences[:20]:
        yield f"a\x9b{each}b"


def _strings() -> Iterator[str]:
    """Titles, clipboards, links, pictures: everything that a terminal reads as a string."""
    commands = (
        *("0;title", "2;title", "4;1;?", "4;777;rgb:7/7/7", "8;;http://evil/", "9;said", "10;?"),
        *(
            "11;#070707",
            "22;crosshair",
            "52;c;ZXZpbA==",
            "52;c;?",
            "104;777",
            "133;A",
            "777;n;a;b",
        ),
        *("1337;File=inline=1:QUJD", "7;file://evil/", "12;#777777", "110"),
    )
    for each in commands:
        yield f"a{OSC}{each}{BEL}b"
        yield f"a{OSC}{each}{ST}b"
    for begin in ("P", "_", "^", "X"):
        yield f"a{ESC}{begin}777{ST}b"
    yield "a\x9d52;c;ZXZpbA==\x9cb"
    yield f"a{ESC}P$q777{ST}b"
    yield f"a{ESC}P+q544e{ST}b"
    yield f"a{ESC}Pq#7;2;7;7;7#7~~@@{ST}b"
    yield f"a{ESC}_Ga=T,f=24,s=1,v=1;AAAA{ST}b"


def _escapes() -> Iterator[str]:
    """Two letters that reset, save, shift or change the letters themselves."""
    yield from (f"a{ESC}{each}b" for each in "c78DEHMNOZ=>no|}~\\[]P_^X")
    yield from (f"a{ESC}{each}b" for each in ("(0", ")0", "#8", "#3", "%G", "%@"))


def _unfinished() -> Iterator[str]:
    """What takes the letters behind it, or the next line, for its own."""
    for each in (ESC, CSI, f"{CSI}777", f"{CSI}777;", f"{OSC}0;", f"{OSC}52;c;", f"{ESC}P777"):
        yield f"a{each}"
    yield f"{ESC * 50}a"
    yield f"a{CSI}{'7;' * 500}m"


def _hidden() -> Iterator[str]:
    """What turns the order of letters around, takes no room, or is no letter."""
    codes = (
        *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C,
        *range(0x200B, 0x200E), *range(0x2060, 0x2065), 0xFEFF, 0xAD, 0x180E, 0x034F,
        *range(0xFFF9, 0xFFFC), 0x2028, 0x2029, 0xE0001, 0xE0041, 0xE000, 0xF8FF, 0xF0000,
        0xFFFE, 0xFFFF, 0x1FFFE, 0xD800, 0xDC80, 0xDCFF, 0x0378, 0x115F, 0x3164, 0x2800,
    )  # fmt: skip
    yield from (f"a{chr(code)}txt.exe" for code in codes)


def _letters() -> Iterator[str]:
    """Letters that take two cells, none, or all of their neighbours'."""
    yield "a" + "\u0301" * 60
    yield "\u0301\u0302\u0303"
    yield "".join(f"a{chr(code)}" for code in range(0x300, 0x340))
    yield from ("漢字" * 40, "ｗｉｄｅ", "한글", "👩‍👩‍👧‍👦" * 9, "🇩🇪🇫🇷", "👍🏽", "☂️", "e\u20dd")
    yield from ("שלום עולם", "مرحبا بالعالم", "abc שלום 123 def", "﷽", "𒐫", "Z̶̢͉a̵l̷g̸o̶")


def _markup() -> Iterator[str]:
    """What a library could take for its own words."""
    yield from ("[/x]", "[/]", "[]", "[", "]", "[[", "]]", "\\[", "\\", "a\\", "[\\]", "[/b][/b]")
    yield from ("[bold]b[/bold]", "[b]b", "[red on blue]b[/]", "[$primary]b[/]", "[#770707]b[/]")
    yield from ("[@click=app.quit]b[/]", "[@click=app.bell()]b[/]", "[link=http://evil/]b[/link]")
    yield from ("[b", "[b][i][u]" * 30, ":bomb:", "[reverse]", "[on red]", "[blink]b[/blink]")
    yield from ("{x}", "{{x}}", "%s %n %(x)s", "&lt;b&gt;", "<b>b</b>", "$primary", "{", "}")
    yield from ("=cmd()", "-oProxyCommand=x", "$(reboot)", "`reboot`", "; reboot", "'\"'\"", "@x")


def _lengths() -> Iterator[str]:
    """Too much, and too little."""
    yield from (
        " ",
        "   ",
        "\t\t",
        "a\nb",
        "a\r\nb",
        "a\rb",
        "\n" * 50,
        "a\tb",
        "\u00a0",
        "\u3000",
    )
    yield from ("x" * 3_000, "x " * 1_500, "a" * 199 + ESC, "漢" * 1_000, f"{CSI}777m" * 300)


_KINDS = (
    _controls, _sequences, _strings, _escapes, _unfinished, _hidden, _letters, _markup, _lengths,
)  # fmt: skip
