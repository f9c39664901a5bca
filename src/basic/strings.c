/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Texts: UTF-8, growing buffers, arrays of strings.
 *
 * The buffer doubles, so that n appends cost O(n), and is always terminated, so that it may be used as it is. UTF-8 is
 * checked by hand against the table of RFC 3629 (no surrogates, no overlong forms): what is not valid must be known before
 * it is put into JSON or a D-Bus message, which would end the connection. Nothing here knows a locale. */

#include "basic/strings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

const char *string_after(const char *text, const char *prefix)
{
        assert(text);
        assert(prefix);

        size_t n = strlen(prefix);
        return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* Length of the sequence at p with n bytes left, 0 if it is not valid. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
        unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte */
        size_t length;

        if (p[0] < 0x80)
                return 1;
        if (p[0] >= 0xc2 && p[0] <= 0xdf)
                length = 2;
        else if (p[0] >= 0xe0 && p[0] <= 0xef)
                length = 3;
        else if (p[0] >= 0xf0 && p[0] <= 0xf4)
                length = 4;
        else
                return 0;

        if (p[0] == 0xe0)
                low = 0xa0;
        else if (p[0] == 0xed)
                high = 0x9f;
        else if (p[0] == 0xf0)
                low = 0x90;
        else if (p[0] == 0xf4)
                high = 0x8f;

        if (n < length || p[1] < low || p[1] > high)
                return 0;
        for (size_t i = 2; i < length; i++)
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        return length;
}

bool utf8_is_valid(const char *text, size_t n)
{
        const unsigned char *p = (const unsigned char *)text;

        assert(text || n == 0);

        while (n > 0) {
                size_t k = utf8_sequence(p, n);
                if (k == 0)
                        return false;
                p += k;
                n -= k;
        }
        return true;
}

char *utf8_repair(char *text)
{
        assert(text);

        for (size_t left = strlen(text), i = 0; left > 0;) {
                size_t k = utf8_sequence((const unsigned char *)text + i, left);
                if (k == 0) {
                        text[i] = '?';
                        k = 1;
                }
                i += k;
                left -= k;
        }
        return text;
}

bool string_has_control(const char *text, size_t n)
{
        assert(text || n == 0);

        for (size_t i = 0; i < n; i++)
                if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
                        return true;
        return false;
}

void buffer_done(Buffer *b)
{
        assert(b);

        free(b->data);
        *b = (Buffer){ 0 };
}

int buffer_reserve(Buffer *b, size_t n)
{
        assert(b);

        if (n > SIZE_MAX / 4 - b->size)
                return -ENOMEM;
        size_t needed = b->size + n + 1;
        if (needed <= b->room)
                return 0;

        size_t room = MAX(MAX(needed, b->room * 2), (size_t)64);
        char *bigger = realloc(b->data, room);
        if (!bigger)
                return -ENOMEM;
        b->data = bigger;
        b->room = room;
        return 0;
}

int buffer_append(Buffer *b, const void *data, size_t n)
{
        assert(data || n == 0);

        int r = buffer_reserve(b, n);
        if (r < 0)
                return r;
        if (n > 0)
                memcpy(b->data + b->size, data, n);
        b->size += n;
        b->data[b->size] = '\0';
        return 0;
}

int buffer_append_text(Buffer *b, const char *text)
{
        return buffer_append(b, text, strlen(text));
}

int buffer_printf(Buffer *b, const char *format, ...)
{
        va_list ap;

        assert(b);
        assert(format);

        va_start(ap, format);
        int n = vsnprintf(NULL, 0, format, ap);
        va_end(ap);
        if (n < 0)
                return -EINVAL;

        int r = buffer_reserve(b, (size_t)n);
        if (r < 0)
                return r;
        va_start(ap, format);
        vsnprintf(b->data + b->size, (size_t)n + 1, format, ap);
        va_end(ap);
        b->size += (size_t)n;
        return 0;
}

void buffer_consume(Buffer *b, size_t n)
{
        assert(b);
        assert(n <= b->size);

        if (n == 0)
                return;
        b->size -= n;
        memmove(b->data, b->data + n, b->size);
        b->data[b->size] = '\0';
}

char *buffer_take(Buffer *b)
{
        assert(b);

        if (!b->data && buffer_reserve(b, 0) < 0)
                return NULL;
        b->data[b->size] = '\0';
        char *data = b->data;
        *b = (Buffer){ 0 };
        return data;
}

char *string_printf(const char *format, ...)
{
        char *text = NULL;
        va_list ap;

        va_start(ap, format);
        int n = vasprintf(&text, format, ap);
        va_end(ap);
        return n < 0 ? NULL : text;
}

char *hex_format(const uint8_t *bytes, size_t n, char *ret)
{
        static const char digits[] = "0123456789abcdef";

        assert(bytes || n == 0);
        assert(ret);

        for (size_t i = 0; i < n; i++) {
                ret[2 * i] = digits[bytes[i] >> 4];
                ret[2 * i + 1] = digits[bytes[i] & 15];
        }
        ret[2 * n] = '\0';
        return ret;
}

char *bytes_format(unsigned long long bytes, char *buffer, size_t size)
{
        static const char units[] = "BKMGTPE";
        unsigned long long divisor = 1;
        size_t unit = 0;

        assert(buffer);

        while (unit + 1 < sizeof(units) - 1 && bytes / divisor >= 1024) {
                divisor *= 1024;
                unit++;
        }
        if (unit == 0)
                snprintf(buffer, size, "%lluB", bytes);
        else
                snprintf(buffer, size, "%.1f%c", (double)bytes / (double)divisor, units[unit]);
        return buffer;
}

char **strv_free(char **v)
{
        if (v) {
                for (char **p = v; *p; p++)
                        free(*p);
                free(v);
        }
        return NULL;
}

size_t strv_length(char *const *v)
{
        size_t n = 0;

        if (v)
                while (v[n])
                        n++;
        return n;
}

int strv_append(char ***v, const char *text)
{
        assert(v);
        assert(text);

        size_t n = strv_length(*v);
        _cleanup_free_ char *copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        char **bigger = reallocarray(*v, n + 2, sizeof(char *));
        if (!bigger)
                return -ENOMEM;
        bigger[n] = TAKE_PTR(copy);
        bigger[n + 1] = NULL;
        *v = bigger;
        return 0;
}
