/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The usual conventions of GNU, with two differences on purpose: long names are not abbreviated, because an
 * abbreviation in a script breaks when an option is added, and every error says which option it is about and which
 * one may have been meant. Written forms: --name=VALUE, --name VALUE, -xVALUE, -x VALUE, -abc for flags, "--" before
 * arguments that begin with a dash; "-" alone is an argument.
 *
 * The table says where a value goes; the parser knows no verb. Values are borrowed from argv, only the arrays of
 * options that may be repeated are owned (option_done()). */

#include "cli/option.h"

#include <errno.h>
#include <stdio.h>

#include "basic/nearest.h"
#include "basic/strings.h"

typedef struct Parser {
        const OptionTable *table;
        char **next; /* of argv */
        void *target;
        const char **args;
        size_t n_args;
        ReeveError *reterr;
} Parser;

static int out_of_memory(Parser *p)
{
        return reeve_error_errno(p->reterr, ENOMEM, NULL, "cannot parse the command line");
}

static int append(const char ***list, const char *value)
{
        size_t n = strv_length((char *const *)*list);
        const char **bigger = reallocarray(*list, n + 2, sizeof(char *));
        if (!bigger)
                return -ENOMEM;
        bigger[n] = value;
        bigger[n + 1] = NULL;
        *list = bigger;
        return 0;
}

static int store(Parser *p, const Option *o, const char *name, const char *value)
{
        void *field = (char *)p->target + o->offset;

        switch (o->type) {
        case OPTION_FLAG:
                *(bool *)field = true;
                return 0;
        case OPTION_STRING:
                *(const char **)field = value;
                return 0;
        case OPTION_LIST:
                return append((const char ***)field, value) < 0 ? out_of_memory(p) : 0;
        case OPTION_PARSED:
                return o->parse(name, value, field, p->reterr);
        default:
                assert(!"option type");
                return -EINVAL;
        }
}

/* Stores an option whose value is `value`, or else the next of argv. */
static int take_value(Parser *p, const Option *o, const char *name, const char *value)
{
        if (!value && !*p->next)
                return reeve_error_set(p->reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                       "the option needs a value (%s)", o->argument);
        return store(p, o, name, value ?: *p->next++);
}

static int unknown_option(Parser *p, const char *name)
{
        Nearest nearest;

        nearest_init(&nearest, name + strspn(name, "-"));
        for (size_t i = 0; i < p->table->n_options; i++)
                if (p->table->options[i].name)
                        nearest_offer(&nearest, p->table->options[i].name);
        if (nearest.best)
                return reeve_error_set(p->reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                       "there is no such option, did you mean --%s?", nearest.best);
        return reeve_error_set(p->reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                               "there is no such option, see --help");
}

/* `text` is "--name" or "--name=VALUE". */
static int parse_long(Parser *p, const char *text)
{
        size_t n = strcspn(text, "=");
        char name[64];

        snprintf(name, sizeof(name), "%.*s", (int)MIN(n, sizeof(name) - 1), text);
        for (size_t i = 0; i < p->table->n_options; i++) {
                const Option *o = p->table->options + i;
                if (!o->name || strlen(o->name) != n - 2 || strncmp(o->name, text + 2, n - 2) != 0)
                        continue;
                if (o->argument)
                        return take_value(p, o, name, text[n] ? text + n + 1 : NULL);
                if (text[n])
                        return reeve_error_set(p->reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                               "the option takes no value");
                return store(p, o, name, NULL);
        }
        return unknown_option(p, name);
}

/* `text` is "-abc" or "-xVALUE". */
static int parse_letters(Parser *p, const char *text)
{
        for (const char *letter = text + 1; *letter; letter++) {
                const char name[] = { '-', *letter, '\0' };
                const Option *o = NULL;

                for (size_t i = 0; i < p->table->n_options && !o; i++)
                        if (p->table->options[i].letter == *letter)
                                o = p->table->options + i;
                if (!o)
                        return unknown_option(p, name);
                if (o->argument)
                        return take_value(p, o, name, letter[1] ? letter + 1 : NULL);
                int r = store(p, o, name, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_all(Parser *p)
{
        bool only_arguments = false;

        while (*p->next) {
                const char *text = *p->next++;
                int r;

                if (only_arguments || text[0] != '-' || !text[1]) {
                        only_arguments |= p->table->stop_at_argument;
                        r = append(&p->args, text) < 0 ? out_of_memory(p) : 0;
                } else if (streq(text, "--")) {
                        only_arguments = true;
                        continue;
                } else
                        r = text[1] == '-' ? parse_long(p, text) : parse_letters(p, text);
                if (r < 0)
                        return r;
        }
        return 0;
}

int option_parse(const OptionTable *table, char **argv, void *target, const char ***ret_args,
                 ReeveError *reterr)
{
        assert(table);
        assert(argv);
        assert(target);
        assert(ret_args);

        Parser p = { .table = table, .next = argv, .target = target, .reterr = reterr };
        p.args = NEW0(const char *, 1);
        int r = p.args ? parse_all(&p) : out_of_memory(&p);
        if (r < 0) {
                free(p.args);
                return r;
        }
        *ret_args = p.args;
        return 0;
}

void option_done(const OptionTable *table, void *target)
{
        assert(table);
        assert(target);

        for (size_t i = 0; i < table->n_options; i++)
                if (table->options[i].type == OPTION_LIST)
                        free(TAKE_PTR(*(const char ***)((char *)target + table->options[i].offset)));
}
