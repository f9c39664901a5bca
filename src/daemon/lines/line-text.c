/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A line for each event, of which a machine may take a hundred thousand a second: so the JSON text that the event has is not parsed, but
 * walked once, and the values that are wanted are copied as they stand there.
 *
 * They can be, since JSON has escaped what must not be in a line: control characters, quotes. A name loses its quotes where nothing in it
 * needs them; a title keeps them always, for what is in it is anybody's. So every line has the same words in the same order, a reader
 * may split it at blanks up to the title, and nobody can write a line of his own by way of one.
 *
 * The text is our own, from the database; what does not look like it ends the walk, and the line is shorter. */

#include "daemon/lines/line-text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "basic/parse.h"

/* ---- walking a JSON text ---- */

typedef struct Span {
        const char *text;
        size_t size;
} Span;

/* Behind the string whose opening quote is at p; NULL if it does not end. */
static const char *skip_string(const char *p)
{
        for (p++; *p && *p != '"'; p++)
                if (*p == '\\' && !*++p)
                        return NULL;
        return *p ? p + 1 : NULL;
}

/* Behind the value at p: at the comma or the bracket that ends it. NULL if there is none. */
static const char *skip_value(const char *p)
{
        unsigned depth = 0;

        for (; p && *p; p = *p == '"' ? skip_string(p) : p + 1) {
                if (depth == 0 && (*p == ',' || *p == '}' || *p == ']'))
                        return p;
                if (*p == '{' || *p == '[')
                        depth++;
                else if (*p == '}' || *p == ']')
                        depth--;
        }
        return NULL;
}

/* Takes the next member of an object; *cursor is at its brace, or behind the member before. */
static bool next_member(const char **cursor, Span *ret_name, Span *ret_value)
{
        const char *p = *cursor + 1, *end = **cursor && *p == '"' ? skip_string(p) : NULL;

        if (!end || *end != ':')
                return false;
        *ret_name = (Span){ p + 1, (size_t)(end - p) - 2 };
        *cursor = skip_value(end + 1);
        *ret_value = (Span){ end + 1, *cursor ? (size_t)(*cursor - end) - 1 : 0 };
        return *cursor;
}

/* ---- the line ---- */

typedef enum Member {
        MEMBER_SUBSYSTEM,
        MEMBER_TASK_TYPE,
        MEMBER_STATUS,
        MEMBER_OUTCOME,
        MEMBER_OWNER_UID,
        MEMBER_ATTEMPT,
        MEMBER_EXIT_STATUS,
        MEMBER_EXIT_SIGNAL,
        MEMBER_DURATION,
        MEMBER_PROGRESS,
        MEMBER_TITLE,
        MEMBER_CREATED_BY,
        MEMBER_USAGE,
        _MEMBER_MAX,
} Member;

#define TEXT(text) (text), sizeof(text) - 1
static const struct {
        const char *name;
        size_t size;
        bool is_text; /* anybody's: it keeps its quotes */
        bool at_end;  /* only shown when the task has ended */
} members[_MEMBER_MAX] = {
        [MEMBER_SUBSYSTEM] = { TEXT("subsystem"), false, false },
        [MEMBER_TASK_TYPE] = { TEXT("task_type"), false, false },
        [MEMBER_STATUS] = { TEXT("status"), false, false },
        [MEMBER_OUTCOME] = { TEXT("outcome"), false, false },
        [MEMBER_OWNER_UID] = { TEXT("owner_uid"), false, false },
        [MEMBER_ATTEMPT] = { TEXT("attempt"), false, false },
        [MEMBER_EXIT_STATUS] = { TEXT("exit_status"), false, false },
        [MEMBER_EXIT_SIGNAL] = { TEXT("exit_signal"), false, false },
        [MEMBER_DURATION] = { TEXT("duration_seconds"), false, false },
        [MEMBER_PROGRESS] = { TEXT("progress"), false, false },
        [MEMBER_TITLE] = { TEXT("title"), true, false },
        [MEMBER_CREATED_BY] = { TEXT("created_by"), true, false },
        [MEMBER_USAGE] = { TEXT("usage"), true, true },
};
#undef TEXT

static void find_members(const char *detail, Span ret[static _MEMBER_MAX])
{
        const char *cursor = detail;
        Span name, value;

        while (cursor && *cursor && next_member(&cursor, &name, &value))
                for (int m = 0; m < _MEMBER_MAX; m++)
                        if (name.size == members[m].size &&
                            memcmp(name.text, members[m].name, name.size) == 0)
                                ret[m] = value;
}

/* Is it a string of letters, digits, _ . : -? */
static bool is_plain(Span s)
{
        if (s.size < 3 || s.text[0] != '"')
                return false;
        for (size_t i = 1; i < s.size - 1; i++)
                if (!isalnum((unsigned char)s.text[i]) && !strchr("_.:-", s.text[i]))
                        return false;
        return true;
}

static int append_member(Buffer *b, int m, Span value)
{
        if (!members[m].is_text && is_plain(value))
                value = (Span){ value.text + 1, value.size - 2 };
        int r = buffer_append(b, " ", 1);
        if (r >= 0)
                r = buffer_append(b, members[m].name, members[m].size);
        if (r >= 0)
                r = buffer_append(b, "=", 1);
        return r < 0 ? r : buffer_append(b, value.text, value.size);
}

static int append_time(Buffer *b, usec_t realtime)
{
        time_t seconds = (time_t)(realtime / USEC_PER_SEC);
        char text[32];
        struct tm tm;

        gmtime_r(&seconds, &tm);
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
        return buffer_printf(b, "%s.%06uZ " LINE_WORD, text, (unsigned)(realtime % USEC_PER_SEC));
}

static bool is_end(const char *topic)
{
        return streq(topic, "task.completed") || streq(topic, "task.failed") ||
               streq(topic, "task.cancelled") || streq(topic, "task.lost");
}

static int append_event(Buffer *b, const LineEvent *e)
{
        Span found[_MEMBER_MAX] = { 0 };

        find_members(e->detail, found);
        int r = append_time(b, e->realtime);
        if (r >= 0)
                r = buffer_printf(b, " event=%" PRId64 " topic=%s task_id=%s", e->number, e->topic,
                                  e->task_id);
        bool ended = is_end(e->topic);
        for (int m = 0; r >= 0 && m < _MEMBER_MAX; m++)
                if (found[m].size > 0 && (ended || !members[m].at_end))
                        r = append_member(b, m, found[m]);
        return r < 0 ? r : buffer_append(b, "\n", 1);
}

static int cut(Buffer *b, size_t size, int r)
{
        if (r >= 0 || !b->data)
                return r;
        b->size = size;
        b->data[size] = '\0';
        return r;
}

int line_append_event(Buffer *b, const LineEvent *event)
{
        assert(b);
        assert(event && event->topic && event->task_id && event->detail);

        size_t size = b->size;
        return cut(b, size, append_event(b, event));
}

int line_append_begin(Buffer *b, usec_t realtime, int64_t after)
{
        assert(b);

        size_t size = b->size;
        int r = append_time(b, realtime);
        return cut(b, size, r < 0 ? r : buffer_printf(b, " after=%" PRId64 " topic=log.begins\n", after));
}

/* ---- where a text ends ---- */

static int64_t number_of(const char *line, size_t n)
{
        static const char *const keys[] = { " " LINE_WORD " event=", " " LINE_WORD " after=" };
        char text[96] = "";
        int64_t number;

        memcpy(text, line, MIN(n, sizeof(text) - 1));
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                char *at = strstr(text, keys[i]);
                if (!at)
                        continue;
                at += strlen(keys[i]);
                at[strspn(at, "0123456789")] = '\0';
                if (parse_i64(at, &number) >= 0)
                        return number;
        }
        return -1;
}

int64_t line_last_number(const char *text, size_t n)
{
        assert(text || n == 0);

        while (n > 0 && text[n - 1] != '\n') /* what is no whole line */
                n--;
        while (n > 0) {
                const char *before = memrchr(text, '\n', n - 1);
                size_t begin = before ? (size_t)(before + 1 - text) : 0;
                int64_t number = number_of(text + begin, n - begin);
                if (number >= 0)
                        return number;
                n = begin;
        }
        return -1;
}
