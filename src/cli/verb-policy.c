/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve policy check|explain|show|reload.
 *
 * `check` reads files (policy-check.c), the others ask reeved.
 *
 * What applies to a task is printed one value a line, with its place behind it; an item of a list (a step of a ladder, a
 * rule) is a line of its own, for each has a place of its own. */

#include <limits.h>
#include <stdio.h>

#include "basic/strings.h"
#include "basic/time.h"
#include "cli/policy-check.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "cli/value.h"
#include "cli/verb.h"
#include "common/json/json.h"

#define VALUE_COLUMN_MAX 56

typedef struct PolicyOptions {
        CommonOptions common;
        const char *subsystem, *type, *title, *created_by;
        OptionalNumber uid;
} PolicyOptions;

#define POLICY(field) offsetof(PolicyOptions, field)

static const Option policy_options[] = {
        { "subsystem", 'S', "NAME", "Explain what applies in this subsystem", OPTION_STRING,
          POLICY(subsystem) },
        { "type", 'T', "NAME", "... to tasks of this type", OPTION_STRING, POLICY(type) },
        { "title", 0, "TEXT", "... with this title", OPTION_STRING, POLICY(title) },
        { "created-by", 0, "LABEL", "... caused by this", OPTION_STRING, POLICY(created_by) },
        { "uid", 0, "USER", "... of this user (default: the caller)", OPTION_PARSED, POLICY(uid),
          parse_user },
        COMMON_OPTIONS(PolicyOptions),
};

/* ---- values as text ---- */

/* "{at: 80%, do: notify}", "[a, b]", "30s" */
static int append_flow(Buffer *b, const json_t *value)
{
        const char *key, *separator = "";
        json_t *child;
        size_t i;
        int r = 0;

        switch (json_typeof(value)) {
        case JSON_OBJECT:
                r = buffer_append_text(b, "{");
                json_object_foreach((json_t *)value, key, child) {
                        if (r >= 0 && (r = buffer_printf(b, "%s%s: ", separator, key)) >= 0)
                                r = append_flow(b, child);
                        separator = ", ";
                }
                return r < 0 ? r : buffer_append_text(b, "}");
        case JSON_ARRAY:
                r = buffer_append_text(b, "[");
                json_array_foreach((json_t *)value, i, child) {
                        if (r >= 0 && (r = buffer_append_text(b, separator)) >= 0)
                                r = append_flow(b, child);
                        separator = ", ";
                }
                return r < 0 ? r : buffer_append_text(b, "]");
        case JSON_STRING:
                return buffer_append_text(b, json_string_value(value));
        case JSON_INTEGER:
                return buffer_printf(b, "%lld", (long long)json_integer_value(value));
        case JSON_REAL:
                return buffer_printf(b, "%.15g", json_real_value(value));
        case JSON_TRUE:
        case JSON_FALSE:
        case JSON_NULL:
                break;
        }
        return buffer_append_text(b, json_is_true(value) ? "yes" : "no");
}

static void print_value(const char *name, const json_t *value, const json_t *origins)
{
        _cleanup_buffer_ Buffer b = { 0 };
        const char *origin = json_get_string(origins, name);

        if (append_flow(&b, value) < 0)
                return;
        printf("  %-28s %-*s %s%s%s\n", name, VALUE_COLUMN_MAX, b.data, terminal_color(COLOR_GREY),
               origin ?: "", terminal_color(COLOR_RESET));
}

/* Values below a dotted name; those of lists of mappings one by one. */
static void print_values(const char *name, const json_t *value, const json_t *origins)
{
        const char *key;
        char below[160];
        json_t *child;
        size_t i;

        if (json_is_object(value) && !json_object_get(origins, name)) {
                json_object_foreach((json_t *)value, key, child) {
                        snprintf(below, sizeof(below), "%s%s%s", name, *name ? "." : "", key);
                        print_values(below, child, origins);
                }
        } else if (json_is_array(value) && json_is_object(json_array_get(value, 0))) {
                json_array_foreach((json_t *)value, i, child) {
                        snprintf(below, sizeof(below), "%s.%zu", name, i);
                        print_value(below, child, origins);
                }
        } else
                print_value(name, value, origins);
}

/* ---- explain ---- */

static json_t *explain_parameters(const char *task_id, const PolicyOptions *o)
{
        json_t *p = json_pack("{ss* ss* ss* ss* ss*}", "task_id", task_id, "subsystem", o->subsystem,
                              "task_type", o->type, "title", o->title, "created_by", o->created_by);

        if (p && o->uid.set && json_set_integer(p, "uid", (int64_t)o->uid.value) < 0) {
                json_decref(p);
                return NULL;
        }
        return p;
}

static int explain(const char **args, size_t n_args, const PolicyOptions *o)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_json_ json_t *reply = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        if (n_args > 1 || (n_args == 0) == !(o->subsystem && o->type)) {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "explain",
                                "either one task's id, or --subsystem= and --type=");
                return session_error(&e);
        }
        int status = session_connect(&c);
        if (status == 0)
                status = session_call(c, "PolicyExplain", explain_parameters(n_args > 0 ? args[0] : NULL, o),
                                      &reply);
        if (status != 0)
                return status;
        if (o->common.json != JSON_MODE_OFF)
                return json_print(o->common.json, reply);
        printf("Policy %s\n", json_get_string(reply, "hash") ?: "?");
        print_values("", json_object_get(reply, "policy"), json_object_get(reply, "origins"));
        return 0;
}

/* ---- show ---- */

static void print_layer(const char *heading, const json_t *layer)
{
        static const char *const not_values[] = { "origins", "cases", "task_types", "match", NULL };
        const json_t *origins = json_object_get(layer, "origins"), *match = json_object_get(layer, "match");
        _cleanup_buffer_ Buffer b = { 0 };
        const char *key;
        char below[256];
        json_t *child;
        size_t i;

        if (json_object_size(origins) > 0 || match) {
                if (match && append_flow(&b, match) < 0)
                        return;
                printf("\n%s%s%s\n", heading, match ? " if " : "", match ? b.data : "");
        }
        json_object_foreach((json_t *)layer, key, child) {
                bool is_value = true;
                for (i = 0; not_values[i]; i++)
                        is_value &= !streq(key, not_values[i]);
                if (is_value)
                        print_values(key, child, origins);
        }
        json_array_foreach(json_object_get(layer, "cases"), i, child) {
                snprintf(below, sizeof(below), "%s, case %zu", heading, i + 1);
                print_layer(below, child);
        }
        json_object_foreach(json_object_get(layer, "task_types"), key, child) {
                snprintf(below, sizeof(below), "%s/%s", heading, key);
                print_layer(below, child);
        }
}

static void print_policy(const json_t *reply)
{
        const json_t *policy = json_object_get(reply, "policy"), *files = json_object_get(reply, "files");
        const char *problem = json_get_string(reply, "problem"), *key;
        json_t *child;
        char when[64];
        size_t i;

        printf("%s: ", json_get_string(reply, "directory") ?: "?");
        if (policy)
                printf("policy %.12s, loaded %s\n", json_get_string(reply, "hash") ?: "?",
                       usec_format_realtime((usec_t)json_get_integer(reply, "loaded_at", 0), when,
                                            sizeof(when)));
        else
                printf("no policy is in force, new work is refused\n");
        if (problem)
                printf("%sProblem: %s%s\n", terminal_color(COLOR_RED), problem, terminal_color(COLOR_RESET));
        json_array_foreach((json_t *)files, i, child)
                printf("  %s\n", json_string_value(child));
        if (json_object_get(policy, "max_parallel"))
                printf("\nmax_parallel %lld\n", (long long)json_get_integer(policy, "max_parallel", 0));
        print_layer("built-in", json_object_get(policy, "built-in"));
        print_layer("defaults", json_object_get(policy, "defaults"));
        json_object_foreach(json_object_get(policy, "subsystems"), key, child)
                print_layer(key, child);
}

static int show(const char **args, size_t n_args, const PolicyOptions *o)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_json_ json_t *reply = NULL;

        int status = session_connect(&c);
        if (status == 0)
                status = session_call(c, "PolicyShow", json_object(), &reply);
        if (status != 0)
                return status;
        if (o->common.json != JSON_MODE_OFF)
                return json_print(o->common.json, reply);
        print_policy(reply);
        return 0;
}

/* ---- reload ---- */

static int reload(const char **args, size_t n_args, const PolicyOptions *o)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_json_ json_t *reply = NULL;

        int status = session_connect(&c);
        if (status == 0)
                status = session_call(c, "PolicyReload", json_object(), &reply);
        if (status != 0)
                return status;
        if (o->common.json != JSON_MODE_OFF)
                return json_print(o->common.json, reply);
        printf("policy %.12s in force, of %zu files\n", json_get_string(reply, "hash") ?: "?",
               json_array_size(json_object_get(reply, "files")));
        return 0;
}

static int check(const char **args, size_t n_args, const PolicyOptions *o)
{
        return policy_check(args, n_args, o->common.json);
}

static const struct {
        const char *name;
        int (*handler)(const char **args, size_t n_args, const PolicyOptions *o);
} commands[] = {
        { "check", check },
        { "explain", explain },
        { "show", show },
        { "reload", reload },
};

static int policy(const char **args, size_t n_args, const void *options)
{
        ReeveError e = REEVE_ERROR_NULL;

        for (size_t i = 0; i < ELEMENTSOF(commands); i++)
                if (streq(args[0], commands[i].name))
                        return commands[i].handler(args + 1, n_args - 1, options);
        reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "policy",
                        "'%.40s' is none of check, explain, show, reload", args[0]);
        return session_error(&e);
}

const Verb verb_policy = {
        .name = "policy",
        .synopsis = "check FILE... | explain [ID] | show | reload",
        .summary = "Check policy files, explain what applies to a task, reload",
        .options = OPTION_TABLE(policy_options),
        .options_size = sizeof(PolicyOptions),
        .min_args = 1,
        .max_args = UINT_MAX,
        .handler = policy,
};
