/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading single values out of the tree, each with the message that its fault deserves: where it stands, what was expected,
 * what came, and which known word is nearest. These are the only words in which a policy is refused, so that they are
 * alike.
 *
 * What is accepted here must not be able to fail later: a regular expression is compiled, a program's path is one that the
 * launcher will look at. Whether the program is there is not asked: it may be installed after the policy. */

#include <errno.h>
#include <regex.h>
#include <stdio.h>

#include "basic/nearest.h"
#include "basic/parse.h"
#include "daemon/policy/policy-internal.h"

/* ---- messages ---- */

void policy_path_below(char ret[static POLICY_PATH_SIZE], const char *outer, const char *key)
{
        char shown[YAML_SHOWN_SIZE];

        snprintf(ret, POLICY_PATH_SIZE, "%.*s.%s", POLICY_PATH_SIZE - YAML_SHOWN_SIZE - 2, outer,
                 yaml_shown(key, shown));
}

int policy_refuse(const PolicyReader *r, YamlPlace place, const char *format, ...)
{
        char text[sizeof(((ReeveError *)NULL)->text)];
        va_list ap;

        assert(r);
        assert(format);

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        return yaml_error(r->reterr, r->source, place, r->path, "%s", text);
}

int policy_oom(const PolicyReader *r)
{
        return reeve_error_errno(r->reterr, ENOMEM, NULL, "cannot read the policy");
}

static const char *kind_name(const YamlNode *node)
{
        switch (node->kind) {
        case YAML_KIND_MAPPING:
                return "a mapping";
        case YAML_KIND_SEQUENCE:
                return "a list";
        case YAML_KIND_SCALAR:
                break;
        }
        return node->text[0] ? "a single value" : "nothing";
}

static int wrong_kind(const PolicyReader *r, const YamlNode *node, const char *expected)
{
        return policy_refuse(r, node->place, "%s must be %s, not %s", r->path[0] ? r->path : "the file",
                             expected, kind_name(node));
}

static int wrong_value(const PolicyReader *r, const YamlNode *node, const char *expected)
{
        char shown[YAML_SHOWN_SIZE];
        return policy_refuse(r, node->place, "%s must be %s, not '%s'", r->path, expected,
                             yaml_shown(node->text, shown));
}

/* ---- kinds and words ---- */

int policy_want_kind(const PolicyReader *r, const YamlNode *node, YamlKind kind, const char *expected)
{
        assert(r);
        assert(node);
        return node->kind == kind ? 0 : wrong_kind(r, node, expected);
}

int policy_want_scalar(const PolicyReader *r, const YamlNode *node, const char *expected)
{
        assert(r);
        assert(node);
        return node->kind == YAML_KIND_SCALAR && node->text[0] ? 0 : wrong_kind(r, node, expected);
}

/* "a, b or c" */
static void join_words(const char *const *words, char *buffer, size_t size)
{
        size_t n = 0;

        buffer[0] = '\0';
        for (size_t i = 0; words[i] && n < size; i++)
                n += (size_t)snprintf(buffer + n, size - n, "%s%s",
                                      i == 0         ? ""
                                      : words[i + 1] ? ", "
                                                     : " or ",
                                      words[i]);
}

int policy_want_word(const PolicyReader *r, const YamlNode *node, const char *const *words, int *ret)
{
        char expected[256];
        Nearest nearest;

        assert(words);
        assert(ret);

        join_words(words, expected, sizeof(expected));
        int k = policy_want_scalar(r, node, expected);
        if (k < 0)
                return k;
        nearest_init(&nearest, node->text);
        for (int i = 0; words[i]; i++) {
                if (streq(words[i], node->text)) {
                        *ret = i;
                        return 0;
                }
                nearest_offer(&nearest, words[i]);
        }
        if (nearest.best) {
                size_t n = strlen(expected);
                snprintf(expected + n, sizeof(expected) - n, " (did you mean '%s'?)", nearest.best);
        }
        return wrong_value(r, node, expected);
}

int policy_unknown_key(const PolicyReader *r, const YamlNode *node, const char *const *known)
{
        char shown[YAML_SHOWN_SIZE];
        Nearest nearest;

        assert(node && node->key);
        assert(known);

        nearest_init(&nearest, node->key);
        for (size_t i = 0; known[i]; i++)
                nearest_offer(&nearest, known[i]);
        yaml_shown(node->key, shown);
        if (nearest.best)
                return policy_refuse(r, node->key_place, "unknown key '%s'; did you mean '%s'?", shown,
                                     nearest.best);
        return policy_refuse(r, node->key_place, "unknown key '%s'", shown);
}

int policy_want_key(const PolicyReader *r, const YamlNode *child, const char *const *known, int *ret)
{
        for (int i = 0; known[i]; i++)
                if (streq(known[i], child->key)) {
                        *ret = i;
                        return 0;
                }
        return policy_unknown_key(r, child, known);
}

/* ---- numbers ---- */

int policy_want_span(const PolicyReader *r, const YamlNode *node, usec_t min, usec_t max, usec_t *ret)
{
        char expected[160], low[64], high[64];

        assert(ret);

        int k = policy_want_scalar(r, node, "a time span such as 30s or 1h 30min");
        if (k < 0)
                return k;
        k = parse_span(node->text, ret);
        if (k >= 0 && *ret >= min && *ret <= max)
                return 0;
        if (k == -EINVAL)
                return wrong_value(r, node, "a time span such as 30s or 1h 30min");
        snprintf(expected, sizeof(expected), "from %s to %s", usec_format_exact(min, low, sizeof(low)),
                 usec_format_exact(max, high, sizeof(high)));
        return wrong_value(r, node, expected);
}

int policy_parse_number(const char *text, double *ret)
{
        bool negative = *text == '-';
        uint64_t digits = 0, divisor = 1;
        const char *s = text + negative;
        bool point = false;
        size_t n = 0;

        for (; *s; s++) {
                if (*s == '.' && !point && n > 0 && s[1]) {
                        point = true;
                        continue;
                }
                if (*s < '0' || *s > '9')
                        return -EINVAL;
                if (++n > 18)
                        return -ERANGE;
                digits = digits * 10 + (uint64_t)(*s - '0');
                divisor *= point ? 10 : 1;
        }
        if (n == 0)
                return -EINVAL;
        *ret = (double)digits / (double)divisor * (negative ? -1 : 1);
        return 0;
}

int policy_want_number(const PolicyReader *r, const YamlNode *node, double *ret)
{
        assert(ret);

        int k = policy_want_scalar(r, node, "a number");
        if (k < 0)
                return k;
        return policy_parse_number(node->text, ret) < 0 ? wrong_value(r, node, "a number") : 0;
}

/* ---- programs ---- */

/* The launcher takes programs only from two directories, and nothing below them. */
static bool is_program_in(const char *path, const char *directory, const char *folder)
{
        const char *rest = directory[0] == '/' ? string_after(path, directory) : NULL;

        if (!rest || rest[0] != '/' || !(rest = string_after(rest + 1, folder)) || rest[0] != '/')
                return false;
        rest++;
        return rest[0] && rest[0] != '.' && !strchr(rest, '/');
}

int policy_want_program(const PolicyReader *r, const YamlNode *node, const char *folder)
{
        static const char *const everywhere[] = { "/etc/reeve", "/usr/lib/reeve" };
        char shown[YAML_SHOWN_SIZE];

        int k = policy_want_scalar(r, node, "the absolute path of a program");
        if (k < 0 || !r->places || is_program_in(node->text, r->places->etc, folder))
                return k;
        for (size_t i = 0; i < ELEMENTSOF(everywhere); i++)
                if (is_program_in(node->text, everywhere[i], folder))
                        return 0;
        return policy_refuse(r, node->place,
                             "%s must be a program in /etc/reeve/%s or /usr/lib/reeve/%s, not '%s'", r->path,
                             folder, folder, yaml_shown(node->text, shown));
}

/* ---- regular expressions ---- */

#define REGEX_LENGTH_MAX 1024
#define REGEX_REPEAT_MAX \
        1000 /* all counts of one expression, multiplied: regcomp(3) copies what is repeated */

/* What would make regcomp() or regexec() of glibc eat all time or memory; NULL: nothing. */
static const char *regex_danger(const char *text)
{
        uint64_t repeats = 1;

        if (strlen(text) > REGEX_LENGTH_MAX)
                return "is longer than 1024 bytes";
        for (const char *s = text; *s; s++) {
                if (*s == '\\' && s[1]) {
                        if (s[1] >= '1' && s[1] <= '9')
                                return "has a back-reference";
                        s++;
                } else if (*s == '[') {
                        s += s[1] == '^';
                        s += s[1] == ']';
                        while (s[1] && s[1] != ']')
                                s++;
                } else if (*s == '{') {
                        uint64_t most = 1, n = 0;
                        for (s++; *s && *s != '}'; s++) {
                                n = *s >= '0' && *s <= '9' ? MIN(n * 10 + (uint64_t)(*s - '0'), 100000U) : 0;
                                most = MAX(most, n);
                        }
                        repeats *= most;
                        if (repeats > REGEX_REPEAT_MAX)
                                return "repeats more than 1000 times";
                        if (!*s)
                                break;
                }
        }
        return NULL;
}

int policy_want_regex(const PolicyReader *r, const YamlNode *node)
{
        char why[128];
        regex_t compiled;

        int k = policy_want_scalar(r, node, "a regular expression");
        if (k < 0)
                return k;
        const char *danger = regex_danger(node->text);
        if (danger)
                return policy_refuse(r, node->place, "%s is a regular expression that %s", r->path, danger);
        k = regcomp(&compiled, node->text, REG_EXTENDED | REG_NOSUB);
        if (k != 0) {
                regerror(k, &compiled, why, sizeof(why));
                return policy_refuse(r, node->place, "%s is no regular expression: %s", r->path, why);
        }
        regfree(&compiled);
        return 0;
}

/* ---- what is kept ---- */

int policy_copy(const PolicyReader *r, const YamlNode *node, const char **ret)
{
        assert(node->text);

        *ret = task_policy_strdup(r->p, node->text);
        return *ret ? 0 : policy_oom(r);
}

int policy_origin(const PolicyReader *r, const YamlNode *node, PolicyOrigin *ret)
{
        const char *file = r->file[0] ? task_policy_strdup(r->p, r->file) : "";
        if (!file)
                return policy_oom(r);
        *ret = (PolicyOrigin){ file, node->place.line, node->place.column };
        return 0;
}
