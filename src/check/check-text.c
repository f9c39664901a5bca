/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One pass in pieces of 64 KiB, whatever the size is. A line is matched when its newline came, or at the end; of one that
 * is longer than the buffer the first part is looked at and the rest passed over, and the evidence says that there
 * was one. A NUL is a byte like others (REG_STARTEND). Where only a match is wanted, a hole is jumped over: the middle of a
 * task's output may have been dropped, and a file may pretend to have exabytes. */

#include "check/check-text.h"

#include <errno.h>
#include <regex.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "basic/fd.h"

typedef struct Scan {
        const TextCheck *c;
        Evidence *e;
        regex_t regex;
        bool found, skipping, cut;
        uint64_t line; /* number of the one in `text` */
        char text[CHECK_LINE_MAX];
        size_t n;
        crypto_hash_sha256_state hash;
} Scan;

static void look_at_line(Scan *s, const char *text, size_t n)
{
        regmatch_t range = { 0, (regoff_t)n };

        if (s->found || regexec(&s->regex, text, 1, &range, REG_STARTEND) != 0)
                return;
        s->found = true;
        char shown[257];
        size_t length = MIN(n, sizeof(shown) - 1);
        memcpy(shown, text, length);
        shown[length] = '\0';
        evidence_number(s->e, "line", s->line);
        evidence_text(s->e, "text", shown);
}

/* The rest of a line of which the buffer holds the beginning. */
static void end_line(Scan *s)
{
        if (!s->skipping)
                look_at_line(s, s->text, s->n);
        s->n = 0;
        s->skipping = false;
        s->line++;
}

static void take(Scan *s, const char *data, size_t n)
{
        while (n > 0 && !s->found) {
                const char *newline = memchr(data, '\n', n);
                size_t length = newline ? (size_t)(newline - data) : n;
                size_t room = sizeof(s->text) - s->n, part = s->skipping ? 0 : MIN(length, room);

                memcpy(s->text + s->n, data, part);
                s->n += part;
                if (!s->skipping && part < length) {
                        look_at_line(s, s->text, s->n);
                        s->skipping = s->cut = true;
                }
                if (newline)
                        end_line(s);
                data += length + (newline != NULL);
                n -= length + (newline != NULL);
        }
}

/* -ENXIO: nothing but a hole follows. */
static int jump_over_hole(int fd)
{
        off_t at = lseek(fd, 0, SEEK_CUR), data = at < 0 ? -1 : lseek(fd, at, SEEK_DATA);

        if (at < 0) /* it cannot be positioned: there are no holes */
                return 0;
        if (data < 0 && errno == ENXIO)
                return -ENXIO;
        if (data < 0)
                lseek(fd, at, SEEK_SET);
        return 0;
}

static int read_all(Scan *s, int fd, uint64_t limit)
{
        static char piece[65536];
        uint64_t done = 0;

        while (done < limit && (s->c->sha256 || !s->found)) {
                if (!s->c->sha256 && jump_over_hole(fd) < 0)
                        return 0;
                ssize_t n = fd_read_full(fd, piece, (size_t)MIN((uint64_t)sizeof(piece), limit - done));
                if (n <= 0)
                        return (int)n;
                done += (uint64_t)n;
                if (s->c->sha256)
                        crypto_hash_sha256_update(&s->hash, (const unsigned char *)piece, (size_t)n);
                if (s->c->matches)
                        take(s, piece, (size_t)n);
        }
        return 0;
}

static void conclude_hash(Scan *s)
{
        unsigned char hash[crypto_hash_sha256_BYTES];
        char text[2 * sizeof(hash) + 1];

        crypto_hash_sha256_final(&s->hash, hash);
        sodium_bin2hex(text, sizeof(text), hash, sizeof(hash));
        evidence_text(s->e, "sha256", text);
        if (strcasecmp(text, s->c->sha256) != 0)
                evidence_fail(s->e, "its SHA-256 is another one");
}

static void conclude_match(Scan *s)
{
        if (!s->found && (s->n > 0 && !s->skipping))
                look_at_line(s, s->text, s->n); /* the last line has no newline */
        if (s->found)
                return;
        if (s->cut)
                evidence_number(s->e, "longest_line_looked_at", CHECK_LINE_MAX);
        evidence_number(s->e, "lines", s->line - 1 + (s->n > 0 || s->skipping));
        evidence_fail(s->e, "no line matches '%.200s'", s->c->matches);
}

void check_text(Evidence *e, const TextCheck *c, int fd, uint64_t limit)
{
        static Scan s; /* too large for a stack */
        char text[256];

        assert(e);
        assert(c);

        s.c = c;
        s.e = e;
        s.found = s.skipping = s.cut = false;
        s.line = 1;
        s.n = 0;
        int r = c->matches ? regcomp(&s.regex, c->matches, REG_EXTENDED) : 0;
        if (r != 0) {
                regerror(r, &s.regex, text, sizeof(text));
                evidence_unknown(e, "the regular expression is none: %s", text);
                return;
        }
        crypto_hash_sha256_init(&s.hash);
        r = read_all(&s, fd, limit);
        if (r < 0)
                evidence_unknown(e, "it cannot be read: %s", strerrordesc_np(-r) ?: "?");
        if (r >= 0 && c->matches)
                conclude_match(&s);
        if (r >= 0 && c->sha256)
                conclude_hash(&s);
        if (c->matches)
                regfree(&s.regex);
}
