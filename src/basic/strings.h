/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Strings: comparison, validity, a growing buffer. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "basic/macro.h"

static inline bool streq(const char *a, const char *b)
{
        return strcmp(a, b) == 0;
}

/* NULL equals NULL only. */
static inline bool streq_null(const char *a, const char *b)
{
        return a && b ? strcmp(a, b) == 0 : a == b;
}

/* The rest of `text` behind `prefix`, or NULL. */
const char *string_after(const char *text, const char *prefix);

/* Valid UTF-8 as RFC 3629 defines it (no surrogates, no overlong forms, at most U+10FFFF). */
bool utf8_is_valid(const char *text, size_t n);

/* Puts '?' in the place of each byte of a NUL-terminated text that is no part of valid UTF-8. Returns text. */
char *utf8_repair(char *text);

/* Has a byte below 0x20 or 0x7f (n bytes). */
bool string_has_control(const char *text, size_t n);

/* A growing byte string. Zero-initialised is empty; `data` is NUL-terminated behind `size` once anything was
 * added (NULL before). After a failed append (-ENOMEM) the contents are as before. */
typedef struct Buffer {
        char *data;
        size_t size;
        size_t room; /* allocated bytes */
} Buffer;

void buffer_done(Buffer *b);
#define _cleanup_buffer_ _cleanup_(buffer_done)

/* Makes room for n more bytes (and the NUL). */
int buffer_reserve(Buffer *b, size_t n);
int buffer_append(Buffer *b, const void *data, size_t n);
int buffer_append_text(Buffer *b, const char *text);
int buffer_printf(Buffer *b, const char *format, ...) _printf_(2, 3);

/* Removes the first n bytes. */
void buffer_consume(Buffer *b, size_t n);

/* Hands the contents over ("" if empty); NULL only when memory is short. The buffer is empty afterwards. */
char *buffer_take(Buffer *b);

/* n bytes as 2 * n lower-case hexadecimal digits and a NUL. Returns ret. */
char *hex_format(const uint8_t *bytes, size_t n, char *ret);

/* strdup and printf that return NULL when memory is short. */
char *string_printf(const char *format, ...) _printf_(1, 2);

/* Formats bytes for people: "512B", "1.5K", "64.0M" (powers of 1024). Returns buffer. */
char *bytes_format(unsigned long long bytes, char *buffer, size_t size);

/* NULL-terminated vectors of strings. strv_free frees all of it and returns NULL. */
char **strv_free(char **v);
DEFINE_CLEANUP_FUNC(char **, strv_free)
size_t strv_length(char *const *v);
/* Appends a copy; *v may be NULL. */
int strv_append(char ***v, const char *text);
