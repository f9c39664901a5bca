/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The manual page and the completion against the tables: every verb, option, letter and property is documented, and
 * nothing that does not exist is. SOURCE_ROOT is the source tree. */

#include <ctype.h>
#include <string.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "cli/verb.h"
#include "reeve/reeve.h"
#include "tests/unit/test.h"

static char *read_source(const char *name)
{
        _cleanup_free_ char *path = string_printf("%s/%s", SOURCE_ROOT, name);
        char *text = NULL;

        if (fd_read_file_alloc(AT_FDCWD, path, 1 << 20, &text, NULL) < 0)
                fail_msg("cannot read %s", path);
        return text;
}

/* The text below "## reeve VERB...", up to the next heading; caller frees. */
static char *section_of(const char *page, const char *heading)
{
        const char *begin = strstr(page, heading);
        if (!begin)
                fail_msg("there is no '%s'", heading);
        begin += strlen(heading);
        const char *end = strstr(begin, "\n#");
        return end ? strndup(begin, (size_t)(end - begin)) : strdup(begin);
}

static char *section_of_verb(const char *page, const Verb *v)
{
        bool options = false;
        for (size_t i = 0; i < v->options.n_options; i++)
                options |= v->options.options[i].offset >= sizeof(CommonOptions);

        _cleanup_free_ char *heading =
                        string_printf("\n## reeve %s%s%s%s\n", v->name, options ? " [OPTIONS]" : "",
                                      *v->synopsis ? " " : "", v->synopsis);
        return section_of(page, heading);
}

static bool is_documented(const char *section, const Option *o)
{
        char letter[] = { '*', '-', o->letter, '*', '\0' };
        char value[128] = "";

        if (o->letter && !strstr(section, letter))
                return false;
        if (!o->name)
                return true;
        if (o->argument)
                snprintf(value, sizeof(value), "=_%s_", o->argument);
        _cleanup_free_ char *name = string_printf("*--%s*%s", o->name, value);
        return strstr(section, name);
}

static void test_every_option_is_in_the_page(void **state _unused_)
{
        _cleanup_free_ char *page = read_source("docs/man/reeve.1.scd");
        _cleanup_free_ char *common = section_of(page, "\n# COMMON OPTIONS\n");

        for (size_t v = 0; verbs[v]; v++) {
                _cleanup_free_ char *own = section_of_verb(page, verbs[v]);
                for (size_t i = 0; i < verbs[v]->options.n_options; i++) {
                        const Option *o = verbs[v]->options.options + i;
                        const char *section = o->offset < sizeof(CommonOptions) ? common : own;
                        if (!is_documented(section, o))
                                fail_msg("reeve.1, %s: --%s (-%c, %s) is missing or different",
                                         verbs[v]->name, o->name ?: "", o->letter ?: ' ',
                                         o->argument ?: "no value");
                }
        }
}

static bool verb_has_option(const Verb *v, const char *name, size_t n)
{
        for (size_t i = 0; i < v->options.n_options; i++) {
                const char *known = v->options.options[i].name;
                if (known && strlen(known) == n && strncmp(known, name, n) == 0)
                        return true;
        }
        return false;
}

/* What a section defines begins a line with "*-". */
static void test_nothing_else_is_in_the_page(void **state _unused_)
{
        _cleanup_free_ char *page = read_source("docs/man/reeve.1.scd");

        for (size_t v = 0; verbs[v]; v++) {
                _cleanup_free_ char *section = section_of_verb(page, verbs[v]);
                char *rest = NULL;
                for (char *line = strtok_r(section, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
                        if (!string_after(line, "*-"))
                                continue;
                        for (const char *p = line; (p = strstr(p, "*--"));) {
                                p += strlen("*--");
                                if (!verb_has_option(verbs[v], p, strcspn(p, "*")))
                                        fail_msg("reeve.1, %s: there is no such option: '%s'",
                                                 verbs[v]->name, line);
                        }
                }
        }
        for (const char *p = page; (p = strstr(p, "\n## reeve "));) {
                p += strlen("\n## reeve ");
                _cleanup_free_ char *name = strndup(p, strcspn(p, " \n"));
                if (!verb_find(name))
                        fail_msg("reeve.1: there is no verb '%s'", name);
        }
}

/* As a word: "Nice" is not in "LimitNICE". */
static bool has_word(const char *text, const char *word)
{
        size_t n = strlen(word);

        for (const char *p = text; (p = strstr(p, word)); p += n)
                if ((p == text || !isalnum((unsigned char)p[-1])) && !isalnum((unsigned char)p[n]))
                        return true;
        return false;
}

static void test_every_property_is_known(void **state _unused_)
{
        _cleanup_free_ char *page = read_source("docs/man/reeve.1.scd");
        _cleanup_free_ char *completion = read_source("config/completion/reeve.bash");
        const char *begin = strstr(completion, "_reeve_properties=\"");
        size_t n = 0, in_completion = 0;

        assert_non_null(begin);
        _cleanup_free_ char *list =
                        strndup(begin, strcspn(begin, "\n") + strcspn(strchr(begin, '\n'), "\"") + 1);
        for (const char *name; (name = reeve_property_name(n)); n++)
                if (!has_word(page, name) || !has_word(list, name))
                        fail_msg("%s is not in the page, or not in the completion", name);
        for (const char *p = strchr(list, '"'); (p = strchr(p, '=')); p++)
                in_completion++;
        assert_int_equal(in_completion, n);
}

/* "the command line: `run ...`": all verbs, and no others. */
static void test_the_readme_names_the_verbs(void **state _unused_)
{
        _cleanup_free_ char *readme = read_source("README.md");
        char *begin = strstr(readme, "the command line: `"), *rest = NULL;
        size_t n = 0, n_verbs = 0;

        assert_non_null(begin);
        begin += strlen("the command line: `");
        begin[strcspn(begin, "`")] = '\0';
        for (char *name = strtok_r(begin, " ", &rest); name; name = strtok_r(NULL, " ", &rest), n++)
                if (!verb_find(name))
                        fail_msg("README.md: there is no verb '%s'", name);
        while (verbs[n_verbs])
                n_verbs++;
        if (n != n_verbs)
                fail_msg("README.md names %zu verbs, there are %zu", n, n_verbs);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_option_is_in_the_page),
                cmocka_unit_test(test_nothing_else_is_in_the_page),
                cmocka_unit_test(test_every_property_is_known),
                cmocka_unit_test(test_the_readme_names_the_verbs),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
