#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes a text file as a C string: embed-definition.py INPUT OUTPUT NAME."""

import sys


def main() -> None:
    source, target, name = sys.argv[1:]
    with open(source, encoding="utf-8") as f:
        lines = f.read().splitlines()
    with open(target, "w", encoding="utf-8") as f:
        f.write('#include "daemon/varlink/definition.h"\n\n')
        f.write(f"const char {name}[] =\n")
        for line in lines:
            escaped = line.replace("\\", "\\\\").replace('"', '\\"')
            f.write(f'        "{escaped}\\n"\n')
        f.write("        ;\n")


main()
