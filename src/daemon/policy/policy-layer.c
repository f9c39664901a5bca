/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Layers: what defaults, each subsystem, each task type and each case of these says, as (key, node) pairs.
 *
 * Several files may speak of the same layer; what a later one says of a key replaces what an earlier one said, and lists
 * (cases among them) are replaced as a whole. The nodes stay in the trees of the files, so that each value knows its place.
 *
 * Every value is read once here, into a TaskPolicy that nobody sees: what does not load now cannot fail later, when a
 * task waits for it. */

#include <errno.h>
#include <stdio.h>

#include "common/task-id.h"
#include "daemon/policy/policy-internal.h"

/* Keys that stand below one of these are written there. */
static const char *const groups[] = { "limits",    "overrides", "sla",      "verification",
                                      "retry",     "stuck",     "sampling", "anomaly",
                                      "retention", "hooks",     "reported", NULL };

/* ---- layers ---- */

PolicyLayer *policy_layer_free(PolicyLayer *l)
{
        if (!l)
                return NULL;
        HASH_FOREACH(l->task_types, PolicyLayer, below)
                policy_layer_free(below);
        hash_free(l->task_types);
        for (size_t i = 0; i < l->n_cases; i++)
                policy_layer_free(l->cases[i]);
        free(l->cases);
        policy_allow_done(&l->allow);
        free(l->values);
        free(l->name);
        free(l);
        return NULL;
}

PolicyLayer *policy_layer_new(Policy *p, PolicyLevel level, const char *name)
{
        _cleanup_(policy_layer_freep) PolicyLayer *l = NEW0(PolicyLayer, 1);
        if (!l)
                return NULL;
        l->number = ++p->n_layers;
        l->level = level;
        if ((name && !(l->name = strdup(name))) ||
            (level == POLICY_LEVEL_SUBSYSTEM && !(l->task_types = hash_new())))
                return NULL;
        return TAKE_PTR(l);
}

static int layer_set(PolicyLoader *x, PolicyLayer *l, unsigned key, const YamlNode *node)
{
        PolicyValue value = { key, node, x->source };

        for (size_t i = 0; i < l->n_values; i++)
                if (l->values[i].key == key) {
                        l->values[i] = value;
                        return 0;
                }
        if (l->n_values == l->room) {
                size_t room = l->room * 2 ?: 4;
                PolicyValue *bigger = reallocarray(l->values, room, sizeof(PolicyValue));
                if (!bigger)
                        return policy_oom(&x->reader);
                l->values = bigger;
                l->room = room;
        }
        l->values[l->n_values++] = value;
        return 0;
}

/* The layer of that name in the table, made if there is none. */
static int layer_get(PolicyLoader *x, Hash *table, PolicyLevel level, const YamlNode *node,
                     PolicyLayer **ret)
{
        char shown[YAML_SHOWN_SIZE];

        if (!task_name_is_valid(node->key))
                return policy_refuse(&x->reader, node->key_place,
                                     "'%s' is not 1 to %d letters, digits, _ and - that begin with a letter "
                                     "or digit",
                                     yaml_shown(node->key, shown), TASK_NAME_MAX);
        *ret = hash_get(table, node->key);
        if (*ret)
                return 0;
        _cleanup_(policy_layer_freep) PolicyLayer *l = policy_layer_new(x->policy, level, node->key);
        if (!l || hash_put(table, l->name, l) < 0)
                return policy_oom(&x->reader);
        *ret = TAKE_PTR(l);
        return 0;
}

/* ---- keys of a layer ---- */

static unsigned level_bit(const PolicyLayer *l, bool is_case)
{
        return is_case ? POLICY_IN_CASE : 1U << l->level;
}

/* What may stand in this layer, for suggestions: with `group`, below it. */
static void known_keys(const PolicyLayer *l, bool is_case, const char *group, const char **ret)
{
        size_t n = 0;

        for (size_t i = 0; i < policy_n_keys(); i++) {
                const PolicyKey *k = policy_key(i);
                const char *dot = strchr(k->name, '.');
                if (!(k->levels & level_bit(l, is_case)))
                        continue;
                if (!group && !dot)
                        ret[n++] = k->name;
                else if (group && dot && strlen(group) == (size_t)(dot - k->name) &&
                         strncmp(k->name, group, strlen(group)) == 0)
                        ret[n++] = dot + 1;
        }
        for (size_t i = 0; !group && groups[i]; i++)
                ret[n++] = groups[i];
        if (!group) {
                if (is_case || l->level == POLICY_LEVEL_TASK_TYPE)
                        ret[n++] = "match";
                if (!is_case)
                        ret[n++] = "cases";
                if (!is_case && l->level == POLICY_LEVEL_SUBSYSTEM) {
                        ret[n++] = "task_types";
                        ret[n++] = "max_parallel";
                }
        }
        ret[n] = NULL;
}

#define KNOWN_MAX (POLICY_KEYS_MAX + 16)

static const char *place_name(const PolicyLayer *l, bool is_case)
{
        static const char *const names[] = {
                [POLICY_LEVEL_DEFAULTS] = "defaults",
                [POLICY_LEVEL_SUBSYSTEM] = "a subsystem",
                [POLICY_LEVEL_TASK_TYPE] = "a task type",
        };
        return is_case ? "a case" : names[l->level];
}

/* Is it a key, only not here? */
static bool is_elsewhere(const char *key)
{
        static const char *const others[] = { "match",   "cases",    "task_types",
                                              "version", "defaults", "subsystems" };

        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                if (streq(key, others[i]))
                        return true;
        int id = strchr(key, '.') ? -ENOENT : policy_key_find(key);
        return id >= 0 && policy_key((size_t)id)->levels != 0;
}

static int unknown_key(PolicyLoader *x, const PolicyLayer *l, bool is_case, const char *group,
                       const YamlNode *node)
{
        const char *known[KNOWN_MAX];

        if (!group && is_elsewhere(node->key))
                return policy_refuse(&x->reader, node->key_place, "'%s' cannot stand in %s", node->key,
                                     place_name(l, is_case));

        known_keys(l, is_case, group, known);
        return policy_unknown_key(&x->reader, node, known);
}

/* Checks the value by reading it, and keeps it. */
static int take_value(PolicyLoader *x, PolicyLayer *l, unsigned key, const YamlNode *node)
{
        _cleanup_(task_policy_unrefp) TaskPolicy *scratch = task_policy_new();
        if (!scratch)
                return policy_oom(&x->reader);

        x->reader.p = scratch;
        int r = policy_read(&x->reader, key, node);
        x->reader.p = NULL;
        if (r < 0)
                return r;
        if (key == POLICY_KEY_ALLOW) {
                policy_allow_done(&l->allow);
                if (policy_allow_lookup(node, &l->allow) < 0)
                        return policy_oom(&x->reader);
                l->has_allow = true;
        }
        return layer_set(x, l, key, node);
}

/* "limits: {MemoryMax: 1G}" */
static int read_group(PolicyLoader *x, PolicyLayer *l, bool is_case, const char *group, const YamlNode *node)
{
        char name[96], path[POLICY_PATH_SIZE];
        const char *outer = x->reader.path;

        int r = policy_want_kind(&x->reader, node, YAML_KIND_MAPPING, "a mapping");
        for (const YamlNode *child = r < 0 ? NULL : node->first; r >= 0 && child; child = child->next) {
                snprintf(name, sizeof(name), "%s.%s", group, child->key);
                int key = policy_key_find(name);
                policy_path_below(path, outer, child->key);
                x->reader.path = path;
                r = key < 0 ? unknown_key(x, l, is_case, group, child)
                            : take_value(x, l, (unsigned)key, child);
                x->reader.path = outer;
        }
        return r;
}

/* "overrides: deny" is all of them. */
static int read_overrides(PolicyLoader *x, PolicyLayer *l, const YamlNode *node)
{
        int r = 0;

        for (unsigned i = 0; r >= 0 && i < _POLICY_WISH_MAX; i++)
                r = take_value(x, l, POLICY_KEY_OVERRIDES + i, node);
        return r;
}

static int read_glob(PolicyLoader *x, const YamlNode *node, const char **ret)
{
        char shown[YAML_SHOWN_SIZE];

        int r = policy_want_scalar(&x->reader, node, "a pattern");
        if (r < 0)
                return r;
        if (!policy_glob_is_valid(node->text) || strlen(node->text) > 1024)
                return policy_refuse(&x->reader, node->place, "'%s' is no pattern: * ? [a-z] [!a-z] and \\",
                                     yaml_shown(node->text, shown));
        *ret = node->text;
        return 0;
}

static int read_match(PolicyLoader *x, PolicyLayer *l, const YamlNode *node)
{
        static const char *const keys[] = { "title", "created_by", "uid", NULL };
        const char **const globs[] = { &l->title, &l->created_by, &l->uid };
        int which = 0, r;

        if ((r = policy_want_kind(&x->reader, node, YAML_KIND_MAPPING, "a mapping, {title: PATTERN}")) < 0)
                return r;
        if (!node->first)
                return policy_refuse(&x->reader, node->place,
                                     "'match' is empty: write title, created_by or uid");
        l->title = l->created_by = l->uid = NULL;
        for (const YamlNode *child = node->first; child; child = child->next)
                if ((r = policy_want_key(&x->reader, child, keys, &which)) < 0 ||
                    (r = read_glob(x, child, globs[which])) < 0)
                        return r;
        return 0;
}

static bool has_match(const PolicyLayer *l)
{
        return l->title || l->created_by || l->uid;
}

static int read_case(PolicyLoader *x, PolicyLayer *l, const YamlNode *node)
{
        _cleanup_(policy_layer_freep) PolicyLayer *c = policy_layer_new(x->policy, l->level, NULL);
        if (!c)
                return policy_oom(&x->reader);
        int r = policy_read_layer(x, c, true, node);
        if (r < 0)
                return r;
        if (!has_match(c))
                return policy_refuse(&x->reader, node->place, "a case needs 'match'");
        l->cases[l->n_cases++] = TAKE_PTR(c);
        return 0;
}

/* A list of a later file replaces that of an earlier one, as all lists do. */
static int read_cases(PolicyLoader *x, PolicyLayer *l, const YamlNode *node)
{
        size_t n = 0;

        int r = policy_want_kind(&x->reader, node, YAML_KIND_SEQUENCE, "a list of cases");
        if (r < 0)
                return r;
        for (const YamlNode *child = node->first; child; child = child->next)
                n++;
        while (l->n_cases > 0)
                policy_layer_free(l->cases[--l->n_cases]);
        free(l->cases);
        l->cases = NEW0(PolicyLayer *, n + 1);
        if (!l->cases)
                return policy_oom(&x->reader);
        for (const YamlNode *child = node->first; r >= 0 && child; child = child->next)
                r = read_case(x, l, child);
        return r;
}

int policy_read_layers(PolicyLoader *x, Hash *table, PolicyLevel level, const YamlNode *node)
{
        const char *outer = x->reader.path;
        char path[POLICY_PATH_SIZE];

        int r = policy_want_kind(&x->reader, node, YAML_KIND_MAPPING, "a mapping of names");
        for (const YamlNode *child = r < 0 ? NULL : node->first; r >= 0 && child; child = child->next) {
                PolicyLayer *l = NULL;
                policy_path_below(path, outer, child->key);
                x->reader.path = path;
                r = layer_get(x, table, level, child, &l);
                if (r >= 0)
                        r = policy_read_layer(x, l, false, child);
                x->reader.path = outer;
        }
        return r;
}

static int read_entry(PolicyLoader *x, PolicyLayer *l, bool is_case, const YamlNode *node)
{
        bool subsystem = !is_case && l->level == POLICY_LEVEL_SUBSYSTEM;

        if (streq(node->key, "match") && (is_case || l->level == POLICY_LEVEL_TASK_TYPE))
                return read_match(x, l, node);
        if (streq(node->key, "cases") && !is_case)
                return read_cases(x, l, node);
        if (streq(node->key, "task_types") && subsystem)
                return policy_read_layers(x, l->task_types, POLICY_LEVEL_TASK_TYPE, node);
        if (streq(node->key, "max_parallel") && subsystem)
                return take_value(x, l, POLICY_KEY_SUBSYSTEM_MAX_PARALLEL, node);
        if (streq(node->key, "overrides") && node->kind == YAML_KIND_SCALAR)
                return read_overrides(x, l, node);
        for (size_t i = 0; groups[i]; i++)
                if (streq(groups[i], node->key))
                        return read_group(x, l, is_case, groups[i], node);

        int key = strchr(node->key, '.') ? -ENOENT : policy_key_find(node->key);
        if (key < 0 || !(policy_key((size_t)key)->levels & level_bit(l, is_case)))
                return unknown_key(x, l, is_case, NULL, node);
        return take_value(x, l, (unsigned)key, node);
}

int policy_read_layer(PolicyLoader *x, PolicyLayer *l, bool is_case, const YamlNode *node)
{
        const char *outer = x->reader.path;
        char path[POLICY_PATH_SIZE];

        int r = policy_want_kind(&x->reader, node, YAML_KIND_MAPPING, "a mapping");
        for (const YamlNode *child = r < 0 ? NULL : node->first; r >= 0 && child; child = child->next) {
                policy_path_below(path, outer, child->key);
                x->reader.path = path;
                r = read_entry(x, l, is_case, child);
                x->reader.path = outer;
        }
        if (r >= 0 && l->has_allow && has_match(l))
                return policy_refuse(&x->reader, node->place,
                                     "'allow' cannot stand beside 'match': callers choose their titles "
                                     "themselves");
        return r;
}
