/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The evidence goes into the registry and is read by people and programs, and what it speaks about (names of files, lines
 * that matched) is any bytes. So text is made valid UTF-8, escaped, and short. The first reason not to pass is the one
 * that is told: later ones often follow from it. */

#include "check/evidence.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "basic/fd.h"

void evidence_done(Evidence *e)
{
        assert(e);
        buffer_done(&e->facts);
}

static void append_string(Buffer *b, const char *text)
{
        char copy[EVIDENCE_TEXT_MAX + 1];

        snprintf(copy, sizeof(copy), "%s", text);
        utf8_repair(copy);
        (void)buffer_append_text(b, "\"");
        for (const char *p = copy; *p; p++) {
                if (*p == '"' || *p == '\\')
                        (void)buffer_printf(b, "\\%c", *p);
                else if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        (void)buffer_printf(b, "\\u%04x", (unsigned)*p);
                else
                        (void)buffer_append(b, p, 1);
        }
        (void)buffer_append_text(b, "\"");
}

void evidence_text(Evidence *e, const char *name, const char *text)
{
        assert(e);
        assert(name);
        assert(text);

        (void)buffer_printf(&e->facts, ", \"%s\": ", name);
        append_string(&e->facts, text);
}

void evidence_number(Evidence *e, const char *name, uint64_t value)
{
        assert(e);
        assert(name);

        (void)buffer_printf(&e->facts, ", \"%s\": %llu", name, (unsigned long long)value);
}

static Verdict conclude(Evidence *e, Verdict verdict, const char *format, va_list ap)
{
        if (e->verdict == VERDICT_PASSED) {
                e->verdict = verdict;
                vsnprintf(e->why, sizeof(e->why), format, ap);
        }
        return e->verdict;
}

Verdict evidence_fail(Evidence *e, const char *format, ...)
{
        va_list ap;

        assert(e);

        va_start(ap, format);
        Verdict v = conclude(e, VERDICT_FAILED, format, ap);
        va_end(ap);
        return v;
}

Verdict evidence_unknown(Evidence *e, const char *format, ...)
{
        va_list ap;

        assert(e);

        va_start(ap, format);
        Verdict v = conclude(e, VERDICT_UNKNOWN, format, ap);
        va_end(ap);
        return v;
}

int evidence_write(const Evidence *e)
{
        _cleanup_buffer_ Buffer line = { 0 };

        assert(e);

        (void)buffer_printf(&line, "{\"passed\": %s", e->verdict == VERDICT_PASSED ? "true" : "false");
        if (e->facts.size > 0)
                (void)buffer_append(&line, e->facts.data, e->facts.size);
        if (e->why[0]) {
                (void)buffer_append_text(&line, ", \"why\": ");
                append_string(&line, e->why);
        }
        int r = buffer_append_text(&line, "}\n");
        return r < 0 ? r : fd_write_full(STDOUT_FILENO, line.data, line.size);
}
