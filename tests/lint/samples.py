# SPDX-License-Identifier: LGPL-2.1-or-later
"""For each rule of lint: small trees that break it, each by itself, and trees that do not.

Words and places that must not stand in the repository are put together here from pieces.
"""

SPDX = "/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
OPENING = "\n/* One\n * two\n * three\n * four\n * five. */\n\n#include <errno.h>\n"
LONG_FUNCTION = "int f(void)\n{\n" + "        x();\n" * 80 + "}\n"


def c(text, path="src/basic/x.c"):
    return {path: text}


def include(path, header):
    return c(f'#include "{header}"\n', path)


SAMPLES = {
    "layers": {
        "bad": [
            include("src/basic/x.c", "common/clock.h"),
            include("src/common/x.c", "daemon/store/store.h"),
            include("src/launcher/x.c", "common/json/json.h"),
            include("src/launcher/x.c", "common/varlink/varlink.h"),
            include("src/launcher/x.c", "daemon/model/task-row.h"),
            include("src/libreeve/x.c", "daemon/model/task-row.h"),
            include("src/cli/x.c", "libreeve/client.h"),
            include("src/daemon/x.c", "launcher/keeper.h"),
            include("src/daemon/store/x.c", "daemon/registry/registry.h"),
            include("src/daemon/sampler/x.c", "daemon/varlink/service.h"),
            include("include/reeve/x.h", "basic/error.h"),
        ],
        "good": [
            include("src/common/x.c", "basic/error.h"),
            include("src/launcher/x.c", "common/record/record.h"),
            include("src/daemon/daemon.c", "daemon/store/store.h"),
            include("src/daemon/store/x.c", "daemon/model/task-row.h"),
            include("src/daemon/varlink/x.c", "daemon/registry/registry.h"),
            include("src/cli/x.c", "reeve/reeve.h"),
            c("#include <daemon/anything.h>\n"),
        ],
    },
    "sizes": {
        "bad": [
            c("int x;\n" * 700),
            c(LONG_FUNCTION),
            c("int f(int a, int b, int c, int d, int e, int f, int g)\n{\n}\n"),
        ],
        "good": [c("int f(int a)\n{\n        return a;\n}\n")],
    },
    "launcher-size": {
        "bad": [{f"src/launcher/x{i}.c": "int x;\n" * 500 for i in range(5)}],
        "good": [c("int x;\n" * 500, "src/launcher/x.c"), c("int x;\n" * 3000, "src/daemon/x.c")],
    },
    "unique-names": {
        "bad": [{"src/common/x.c": "int *f(int a)\n{\n}\n", "src/daemon/y.c": "int *f(void)\n{\n}\n"}],
        "good": [
            {"src/common/x.c": "static int f(int a)\n{\n}\n", "src/daemon/y.c": "int f(void)\n{\n}\n"},
            {"src/cli/main.c": "int main(void)\n{\n}\n", "src/daemon/main.c": "int main(void)\n{\n}\n"},
        ],
    },
    "unfinished": {
        "bad": [
            c("/* TO" + "DO: more */\n"),
            c("int x; // FIX" + "ME\n"),
            c("/* this is not " + "implemented */\n"),
            c("/* a st" + "ub */\n"),
            {"run": "#!/bin/sh\n# X" + "XX later\n"},
        ],
        "good": [c('/* done */\nconst char *s = "/run/x.XXXXXX";\n')],
    },
    "forbidden-calls": {
        "bad": [
            c("int f(void)\n{\n        return atoi(x);\n}\n"),
            c("        sprintf(b, x);\n"),
            c("        r = strtoul(x, NULL, 10);\n", "src/daemon/x.c"),
            c("        system (x);\n", "src/daemon/x.c"),
            c("        x = atoi(x);\n", "tests/unit/x.c"),
        ],
        "good": [
            c('/* atoi(x) would be wrong */\nf("atoi(x)");\nsnprintf(a);\nfoo_system(x);\np->system(x);\n'),
            c("        r = strtoul(x, &end, 10);\n", "src/basic/parse.c"),
        ],
    },
    "sleeping-tests": {
        "bad": [
            c("        usleep(10);\n", "tests/unit/x.c"),
            {"tests/system/x": "#!/bin/bash\nwhile true; do sleep 1; done\n"},
            {"tests/python/x.py": "import time\ntime.sleep(1)\n"},
        ],
        "good": [
            c('        run("sleep(1)");\n', "tests/unit/x.c"),
            {"tests/system/x": "#!/bin/bash\nreeve run -- sleep 30\n"},
            c("        usleep(10);\n", "src/basic/x.c"),
            c("/* lint: sleeping-tests: to sleep is its work */\n        usleep(10);\n", "tests/unit/x.c"),
        ],
    },
    "spdx": {
        "bad": [c("int x;\n"), {"run": "#!/bin/sh\ntrue\n"}],
        "good": [c(SPDX + "int x;\n"), {"run": "#!/bin/sh\n# SPDX-License-Identifier: LGPL-2.1-or-later\n"}],
    },
    "opening-comment": {
        "bad": [c(SPDX + "#include <errno.h>\n"), c(SPDX + "/* short */\n#include <errno.h>\n")],
        "good": [c(SPDX + OPENING), c(SPDX + "#pragma once\n", "src/basic/x.h")],
    },
    "private-places": {
        "bad": [
            {"README.md": "see /wo" + "rk/main\n"},
            {"meson.build": "url = 'https://py" + "pi.org/x'\n"},
            {"a.sh": "mirror=http://de" + "b.debian.org/debian\n"},
            c('const char *p = "/ho' + 'me/someone/x";\n'),
        ],
        "good": [{"README.md": "a framework/main thing; /usr/lib/reeve, /home, /work\n"}],
    },
    "plain-text": {
        "bad": [c("int x; \n"), c("int x;"), c("\tint x;\n"), c("int x;\r\n")],
        "good": [c("int x;\n"), {"Makefile": "a:\n\ttrue\n"}],
    },
    "formatted": {
        "bad": [c("int  x ;\n")],
        "good": [c("int x;\n")],
    },
    "links": {
        "bad": [{"a.md": "[x](docs/b.md)\n"},
                {"a.md": "[x](docs/b.md#no-such)\n", "docs/b.md": "# Title\n```\n# no such\n```\n"},
                {"a.md": "# Here\n[x](#there)\n"}],
        "good": [{"a.md": "# Here we are\n[x](docs/b.md#a-title) [y](#here-we-are) [z](https://example.org/x)\n",
                  "docs/b.md": "## A `title`\n[up](../a.md)\n"}],
    },
    "shellcheck": {
        "bad": [{"run": "#!/bin/bash\nrm $1/*\nif [ $x == ]; then true; fi\n"}],
        "good": [{"run": '#!/bin/bash\nrm -- "$1"\n'}],
    },
    "typed": {
        "bad": [{"p/py.typed": "", "p/__init__.py": "def f(x):\n    return x\n"},
                {"p/py.typed": "", "p/__init__.py": "def f(x: int) -> str:\n    return x\n"},
                {"p/py.typed": "", "p/__init__.py": "import itertools\nitertools.pairwise([1])  # Python 3.10\n"},
                {"p/py.typed": "", "p/__init__.py": "match 1:\n    case 1:\n        pass\n"}],
        "good": [{"p/py.typed": "", "p/__init__.py": "def f(x: int) -> int:\n    return x\n"},
                 {"q/__init__.py": "def f(x):\n    return x\n"}],
    },
}
