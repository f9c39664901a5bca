/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Globs over titles that anybody may choose. fnmatch(3) tries every way to divide the text among the stars, which a title
 * of a thousand letters makes last for ever; here only the last star is ever tried again, which is enough: if the part
 * behind it matches anywhere, the earliest place at which the parts before it matched leaves the most for it. So the time
 * is at most the product of both lengths.
 *
 * `?` and brackets stand for one character of UTF-8. Ranges compare code points; there are no character classes. */

#include <stdint.h>

#include "daemon/policy/policy-internal.h"

/* One character, and *p behind it; bytes that are no UTF-8 are characters of their own. */
static uint32_t next_character(const char **p)
{
        const unsigned char *s = (const unsigned char *)*p;
        size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 1;
        uint32_t c = n == 1 ? s[0] : s[0] & (0x7fU >> n);

        for (size_t i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80) {
                        *p += 1;
                        return s[0];
                }
                c = c << 6 | (s[i] & 0x3f);
        }
        *p += n;
        return c;
}

/* *p stands behind "["; afterwards behind "]". False if there is no "]". */
static bool bracket_matches(const char **p, uint32_t c, bool *ret)
{
        bool negated = **p == '!' || **p == '^', found = false;
        const char *s = *p + negated, *first = s;

        while (*s && (*s != ']' || s == first)) {
                uint32_t low = next_character(&s), high = low;
                if (s[0] == '-' && s[1] && s[1] != ']') {
                        s++;
                        high = next_character(&s);
                }
                found |= c >= low && c <= high;
        }
        if (*s != ']')
                return false;
        *p = s + 1;
        *ret = found != negated;
        return true;
}

/* Does the first element of the pattern (not a star) match one character? Moves both behind it. */
static bool element_matches(const char **pattern, const char **text)
{
        const char *p = *pattern, *t = *text;
        bool matches = true;

        if (!*t || !*p)
                return false;
        uint32_t c = next_character(&t);
        if (*p == '[') {
                p++;
                if (!bracket_matches(&p, c, &matches))
                        return false;
        } else if (*p == '?')
                p++;
        else {
                p += *p == '\\';
                matches = next_character(&p) == c;
        }
        *pattern = p;
        *text = t;
        return matches;
}

bool policy_glob_matches(const char *pattern, const char *text)
{
        const char *p, *t, *star = NULL, *retry = NULL;

        assert(pattern);
        assert(text);

        for (p = pattern, t = text; *t || *p;) {
                if (*p == '*') {
                        star = ++p;
                        retry = t;
                        continue;
                }
                const char *next_p = p, *next_t = t;
                if (element_matches(&next_p, &next_t)) {
                        p = next_p;
                        t = next_t;
                        continue;
                }
                if (!star || !*retry)
                        return false;
                next_character(&retry);
                p = star;
                t = retry;
        }
        return true;
}

bool policy_glob_is_valid(const char *pattern)
{
        bool ignored;

        assert(pattern);

        for (const char *p = pattern; *p;) {
                if (*p == '\\') {
                        if (!p[1])
                                return false;
                        p++;
                } else if (*p == '[') {
                        p++;
                        if (!bracket_matches(&p, 0, &ignored))
                                return false;
                        continue;
                }
                next_character(&p);
        }
        return pattern[0];
}
