/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Parsing of command lines by a table of options, and the table of verbs itself. */

#include "cli/option.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "basic/strings.h"
#include "cli/verb.h"
#include "tests/unit/test.h"

typedef struct Target {
        bool flag, other;
        const char *text;
        const char **list;
        int number;
} Target;

static int parse_small(const char *name, const char *value, void *field, ReeveError *reterr)
{
        if (strlen(value) != 1 || !isdigit((unsigned char)*value))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name, "not a digit");
        *(int *)field = *value - '0';
        return 0;
}

static const Option options[] = {
        { "flag", 'f', NULL, "", OPTION_FLAG, offsetof(Target, flag) },
        { "other", 'o', NULL, "", OPTION_FLAG, offsetof(Target, other) },
        { "text", 't', "TEXT", "", OPTION_STRING, offsetof(Target, text) },
        { "list", 0, "TEXT", "", OPTION_LIST, offsetof(Target, list) },
        { "number", 'n', "DIGIT", "", OPTION_PARSED, offsetof(Target, number), parse_small },
};

/* A command line of literals; option_parse() changes none of them. */
#define ARGV(...) ((char **)(const char *[]){ __VA_ARGS__, NULL })

static const OptionTable permuting = OPTION_TABLE(options);
static const OptionTable stopping = { options, ELEMENTSOF(options), .stop_at_argument = true };

static void check_args(const char **args, const char *expected)
{
        char joined[256] = "";

        for (size_t i = 0; args[i]; i++)
                snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined), "%s%s", i > 0 ? "|" : "",
                         args[i]);
        assert_string_equal(joined, expected);
}

static void test_forms(void **state _unused_)
{
        char **argv = ARGV("a", "-fo", "--text=x=y", "b", "--list", "1", "--list=2", "-n7", "-", "--", "-f");
        _cleanup_free_ const char **args = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        Target t = { 0 };

        assert_ok(option_parse(&permuting, argv, &t, &args, &e), e);
        assert_true(t.flag);
        assert_true(t.other);
        assert_string_equal(t.text, "x=y");
        assert_string_equal(t.list[0], "1");
        assert_string_equal(t.list[1], "2");
        assert_null(t.list[2]);
        assert_int_equal(t.number, 7);
        check_args(args, "a|b|-|-f");
        option_done(&permuting, &t);
        assert_null(t.list);
}

static void test_stops_at_the_command(void **state _unused_)
{
        char **plain = ARGV("-f", "cmd", "-o", "--unknown", "--", "x");
        char **dashes = ARGV("-f", "--", "-o", "--");
        const char **args = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        Target t = { 0 };

        assert_ok(option_parse(&stopping, plain, &t, &args, &e), e);
        assert_false(t.other);
        check_args(args, "cmd|-o|--unknown|--|x");
        free(args);

        assert_ok(option_parse(&stopping, dashes, &t, &args, &e), e);
        assert_false(t.other);
        check_args(args, "-o|--");
        free(args);
}

static void test_errors_name_the_option(void **state _unused_)
{
        static const struct {
                const char *argument, *field, *text;
        } bad[] = {
                { "--flga", "--flga", "did you mean --flag?" },
                { "--zzzzzzzz", "--zzzzzzzz", "there is no such option, see --help" },
                { "--fla", "--fla", "did you mean --flag?" }, /* no abbreviations */
                { "--flag=1", "--flag", "takes no value" },
                { "--text", "--text", "needs a value (TEXT)" },
                { "-t", "-t", "needs a value (TEXT)" },
                { "-fx", "-x", "there is no such option" },
                { "--number=ten", "--number", "not a digit" },
                { "--=x", "--", "there is no such option" },
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                char **argv = ARGV(bad[i].argument);
                const char **args = NULL;
                ReeveError e = REEVE_ERROR_NULL;
                Target t = { 0 };

                assert_error(option_parse(&permuting, argv, &t, &args, &e), e, REEVE_ERROR_INVALID_ARGUMENT,
                             bad[i].field);
                if (!strstr(e.text, bad[i].text))
                        fail_msg("'%s': got '%s', expected '%s' in it", bad[i].argument, e.text,
                                 bad[i].text);
                assert_null(args);
        }
}

/* Each verb's options lie within its struct, have a help text, and no two share a name or letter. */
static void test_tables_are_sound(void **state _unused_)
{
        for (size_t v = 0; verbs[v]; v++) {
                const OptionTable *table = &verbs[v]->options;

                assert_ptr_equal(verb_find(verbs[v]->name), verbs[v]);
                assert_true(verbs[v]->options_size >= sizeof(CommonOptions));
                assert_true(verbs[v]->summary[strlen(verbs[v]->summary) - 1] != '.');
                for (size_t i = 0; i < table->n_options; i++) {
                        const Option *o = table->options + i;
                        const char *label = o->name ?: "(letter)";

                        if (o->offset >= verbs[v]->options_size || (!o->name && !o->letter) || !*o->help ||
                            (o->type == OPTION_PARSED) != (o->parse != NULL) ||
                            (o->type == OPTION_FLAG && o->argument))
                                fail_msg("%s --%s: the entry is not sound", verbs[v]->name, label);
                        for (size_t k = 0; k < i; k++)
                                if ((o->name && streq_null(o->name, table->options[k].name)) ||
                                    (o->letter && o->letter == table->options[k].letter))
                                        fail_msg("%s --%s: name or letter is taken", verbs[v]->name, label);
                }
        }
        assert_null(verb_find("nonsense"));
}

static void test_help_has_every_option(void **state _unused_)
{
        _cleanup_free_ char *program = help_program();

        assert_non_null(program);
        for (size_t v = 0; verbs[v]; v++) {
                _cleanup_free_ char *help = help_verb(verbs[v]);
                assert_non_null(help);
                _cleanup_free_ char *call = string_printf("\n  %s %s", verbs[v]->name, verbs[v]->synopsis);
                if (!strstr(program, verbs[v]->summary) || !strstr(program, call))
                        fail_msg("%s, or how it is called, is not in the program's help", verbs[v]->name);
                for (size_t i = 0; i < verbs[v]->options.n_options; i++)
                        if (!strstr(help, verbs[v]->options.options[i].help))
                                fail_msg("%s: the help lacks '%s'", verbs[v]->name,
                                         verbs[v]->options.options[i].help);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_forms),
                cmocka_unit_test(test_stops_at_the_command),
                cmocka_unit_test(test_errors_name_the_option),
                cmocka_unit_test(test_tables_are_sound),
                cmocka_unit_test(test_help_has_every_option),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
