/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Values as text. jansson writes them, too, but looks at each character of a string as UTF-8 and prints each number by
 * printf(3); a registry that writes five tasks for each one that is reported spends a third of its time there. What is written
 * is what jansson would write (tests/unit/common/test-json.c compares): compact, members in their order, `"`, `\` and control
 * characters escaped, everything else as it is. Reals have no more digits than they need: 0.4 is 0.4.
 *
 * Strings were valid UTF-8 when they were made; only those with anything but ASCII are looked at once more. Reals are left to
 * jansson. Pieces gather in a small buffer, so that the callback is not called for each of them. */

#include "common/json/json.h"

#include <errno.h>
#include <string.h>

#include "basic/strings.h"

#define GATHERED    1024
#define DEPTH_MAX   2048 /* as jansson's parser: what goes deeper contains itself */
#define REAL_SIZE   64
#define NUMBER_SIZE 20 /* digits and sign of an int64_t */

typedef struct Writer {
        json_dump_callback_t callback;
        void *userdata;
        unsigned depth;
        size_t n;
        char gathered[GATHERED];
} Writer;

static int flush(Writer *w)
{
        size_t n = w->n;

        w->n = 0;
        return n > 0 ? w->callback(w->gathered, n, w->userdata) : 0;
}

static int put(Writer *w, const char *text, size_t n)
{
        if (n > sizeof(w->gathered) - w->n && flush(w) < 0)
                return -1;
        if (n > sizeof(w->gathered))
                return w->callback(text, n, w->userdata);
        memcpy(w->gathered + w->n, text, n);
        w->n += n;
        return 0;
}

static int put_escaped(Writer *w, unsigned char c)
{
        static const char named[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                      ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\' };
        static const char digits[] = "0123456789ABCDEF";
        const char escape[] = { '\\', named[c] },
                   code[] = { '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] };

        return named[c] ? put(w, escape, sizeof(escape)) : put(w, code, sizeof(code));
}

/* How many characters need no escape. *ret_ascii becomes false if there is a byte of another character among them. */
static size_t plain(const char *text, size_t n, bool *ret_ascii)
{
        unsigned char seen = 0;
        size_t i = 0;

        for (; i < n; i++) {
                unsigned char c = (unsigned char)text[i];
                if (c < ' ' || c == '"' || c == '\\')
                        break;
                seen |= c;
        }
        if (seen & 0x80)
                *ret_ascii = false;
        return i;
}

static int put_string(Writer *w, const char *text, size_t n)
{
        bool ascii = true;
        size_t i = 0;

        if (put(w, "\"", 1) < 0)
                return -1;
        while (i < n) {
                size_t k = plain(text + i, n - i, &ascii);
                if (put(w, text + i, k) < 0)
                        return -1;
                i += k;
                if (i < n && put_escaped(w, (unsigned char)text[i++]) < 0)
                        return -1;
        }
        return ascii || utf8_is_valid(text, n) ? put(w, "\"", 1) : -1;
}

static int put_integer(Writer *w, int64_t n)
{
        uint64_t left = n < 0 ? -(uint64_t)n : (uint64_t)n;
        char digits[NUMBER_SIZE], *at = digits + sizeof(digits);

        do
                *--at = (char)('0' + left % 10);
        while ((left /= 10) > 0);
        if (n < 0)
                *--at = '-';
        return put(w, at, (size_t)(digits + sizeof(digits) - at));
}

/* 15 digits are enough for what people write, 17 for every number there is. */
static int put_real(Writer *w, const json_t *j)
{
        static const size_t precisions[] = { JSON_REAL_PRECISION(15), JSON_REAL_PRECISION(17) };
        char text[REAL_SIZE];
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(precisions); i++) {
                n = json_dumpb(j, text, sizeof(text), JSON_COMPACT | JSON_ENCODE_ANY | precisions[i]);
                if (n == 0 || n > sizeof(text))
                        return -1;
                _cleanup_json_ json_t *same = json_loadb(text, n, JSON_DECODE_ANY, NULL);
                if (json_equal(same, j))
                        break;
        }
        return put(w, text, n);
}

static int put_value(Writer *w, json_t *j);

static int put_object(Writer *w, json_t *object)
{
        const char *key, *before = "{";
        json_t *value;

        json_object_foreach(object, key, value) {
                if (put(w, before, 1) < 0 || put_string(w, key, strlen(key)) < 0 || put(w, ":", 1) < 0 ||
                    put_value(w, value) < 0)
                        return -1;
                before = ",";
        }
        return before[0] == '{' ? put(w, "{}", 2) : put(w, "}", 1);
}

static int put_array(Writer *w, json_t *array)
{
        const char *before = "[";
        json_t *value;
        size_t i;

        json_array_foreach(array, i, value) {
                if (put(w, before, 1) < 0 || put_value(w, value) < 0)
                        return -1;
                before = ",";
        }
        return before[0] == '[' ? put(w, "[]", 2) : put(w, "]", 1);
}

static int put_nested(Writer *w, json_t *j)
{
        if (w->depth >= DEPTH_MAX)
                return -1;
        w->depth++;
        int r = json_is_object(j) ? put_object(w, j) : put_array(w, j);
        w->depth--;
        return r;
}

static int put_value(Writer *w, json_t *j)
{
        switch (json_typeof(j)) {
        case JSON_OBJECT:
        case JSON_ARRAY:
                return put_nested(w, j);
        case JSON_STRING:
                return put_string(w, json_string_value(j), json_string_length(j));
        case JSON_INTEGER:
                return put_integer(w, json_integer_value(j));
        case JSON_REAL:
                return put_real(w, j);
        case JSON_TRUE:
                return put(w, "true", 4);
        case JSON_FALSE:
                return put(w, "false", 5);
        case JSON_NULL:
                return put(w, "null", 4);
        }
        assert(!"a value's type");
        return -1;
}

int json_write(const json_t *j, json_dump_callback_t callback, void *userdata)
{
        Writer w;

        assert(j);
        assert(callback);

        w.callback = callback;
        w.userdata = userdata;
        w.depth = 0;
        w.n = 0;
        /* Walking it takes a json_t without const, and changes nothing. */
        return put_value(&w, (json_t *)j) < 0 ? -1 : flush(&w);
}

static int on_text(const char *text, size_t n, void *userdata)
{
        return buffer_append(userdata, text, n);
}

char *json_format(const json_t *j)
{
        _cleanup_buffer_ Buffer b = { 0 };

        assert(j);

        return json_write(j, on_text, &b) < 0 ? NULL : buffer_take(&b);
}
