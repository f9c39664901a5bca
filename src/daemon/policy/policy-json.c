/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A TaskPolicy as JSON: the language of the files again, with the values as they were written, under the names of
 * policy-keys.c, and under "origins" where each came from:
 *
 *     {"limits": {"MemoryMax": "512M"}, "sla": {"deadline": "1h"}, ...,
 *      "origins": {"limits.MemoryMax": "10-healing.yaml:9:30", "sla.deadline": "request", "retry.backoff": "built-in"}}
 *
 * So there is one reader of values, which is what makes sure that a task that is recovered after a restart has the policy
 * that it was created with: the way back turns JSON into nodes of a tree, and reads these. Moments are written in UTC, lest
 * another time zone change them. Keys are sorted, so that equal policies have equal hashes. */

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "basic/parse.h"
#include "daemon/policy/policy-internal.h"

#define JSON_DEPTH 8

/* ---- writing ---- */

/* Digits become a number where that loses nothing. */
static json_t *number_or_text(const char *text)
{
        uint64_t whole;
        double real;

        if (parse_u64(text, &whole) >= 0 && whole < (UINT64_C(1) << 53) && (text[0] != '0' || !text[1]))
                return json_integer((json_int_t)whole);
        if (policy_parse_number(text, &real) >= 0 && strlen(text) < 15)
                return json_real(real);
        return json_string(text);
}

static json_t *plain_value(const char *text)
{
        bool b;

        json_t *j = number_or_text(text);
        if (json_is_string(j) && parse_bool(text, &b) >= 0) {
                json_decref(j);
                return json_boolean(b);
        }
        return j;
}

/* Of what stands in lists, these are numbers; everything else may be a text that looks like one. */
static bool is_number_key(const char *key)
{
        return key && (streq(key, "min") || streq(key, "max") || streq(key, "exit_status"));
}

static json_t *node_to_json(const YamlNode *node, bool plain)
{
        if (node->kind == YAML_KIND_SCALAR)
                return plain ? plain_value(node->text) : json_string(node->text);

        _cleanup_json_ json_t *all = node->kind == YAML_KIND_MAPPING ? json_object() : json_array();
        for (const YamlNode *child = node->first; child; child = child->next) {
                json_t *value = node_to_json(child, is_number_key(child->key) || (!child->key &&
                                                                                  is_number_key(node->key)));
                int r = node->kind == YAML_KIND_MAPPING ? json_object_set_new(all, child->key, value)
                                                        : json_array_append_new(all, value);
                if (r < 0)
                        return NULL;
        }
        return TAKE_PTR(all);
}

/* "2026-01-31 11:00:00 UTC" */
static json_t *moment_to_json(usec_t realtime)
{
        time_t seconds = (time_t)(realtime / USEC_PER_SEC);
        char text[48];
        struct tm tm;

        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&seconds, &tm));
        return json_string(text);
}

static int add_value(json_t *all, const char *name, json_t *value)
{
        const char *dot = strchr(name, '.');

        if (!dot)
                return json_object_set_new(all, name, value) < 0 ? -ENOMEM : 0;
        char group[32];
        snprintf(group, sizeof(group), "%.*s", (int)(dot - name), name);
        json_t *below = json_object_get(all, group);
        if (!below) {
                if (json_object_set_new(all, group, json_object()) < 0) {
                        json_decref(value);
                        return -ENOMEM;
                }
                below = json_object_get(all, group);
        }
        return json_object_set_new(below, dot + 1, value) < 0 ? -ENOMEM : 0;
}

static int add_origin(json_t *origins, const char *name, const char *file, YamlPlace place)
{
        if (!file[0] || streq(file, "request"))
                return json_object_set_new(origins, name, json_string(file[0] ? file : "built-in"));
        return json_object_set_new(origins, name, json_sprintf("%s:%u:%u", file, place.line, place.column));
}

/* The items of a list have places of their own. */
static int add_origins(json_t *origins, const char *name, const PolicyChosen *v)
{
        char item[96];
        unsigned i = 0;

        if (add_origin(origins, name, v->file, v->node->place) < 0)
                return -ENOMEM;
        if (v->node->kind != YAML_KIND_SEQUENCE)
                return 0;
        for (const YamlNode *child = v->node->first; child; child = child->next) {
                snprintf(item, sizeof(item), "%s.%u", name, i++);
                if (child->kind == YAML_KIND_MAPPING && add_origin(origins, item, v->file, child->place) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static void hash_text(const char *text, char ret[static 65])
{
        unsigned char hash[crypto_hash_sha256_BYTES];

        crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
        sodium_bin2hex(ret, 65, hash, sizeof(hash));
}

int policy_write_json(TaskPolicy *p, const PolicyChosen values[static POLICY_KEYS_MAX])
{
        _cleanup_json_ json_t *all = json_object(), *origins = json_object();

        assert(p);

        for (size_t id = 0; id < policy_n_keys(); id++) {
                const PolicyKey *k = policy_key(id);
                const PolicyChosen *v = values + id;
                if (!v->node)
                        continue;
                json_t *value = id == POLICY_KEY_SLA_DEADLINE && p->sla.absolute_realtime > 0
                                                ? moment_to_json(p->sla.absolute_realtime)
                                                : node_to_json(v->node, k->is_plain);
                if (!value || add_value(all, k->name, value) < 0 || add_origins(origins, k->name, v) < 0)
                        return -ENOMEM;
        }
        if (json_object_set(all, "origins", origins) < 0)
                return -ENOMEM;
        p->storage->json = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
        if (!p->storage->json)
                return -ENOMEM;
        hash_text(p->storage->json, p->hash);
        return 0;
}

/* ---- all of it ---- */

static json_t *layer_to_json(const PolicyLayer *l);

static int add_layers(json_t *o, const char *key, Hash *layers)
{
        _cleanup_json_ json_t *all = json_object();

        if (hash_size(layers) == 0)
                return 0;
        HASH_FOREACH(layers, PolicyLayer, l)
                if (json_object_set_new(all, l->name, layer_to_json(l)) < 0)
                        return -ENOMEM;
        return json_object_set(o, key, all) < 0 ? -ENOMEM : 0;
}

static int add_match(json_t *o, const PolicyLayer *l)
{
        if (!l->title && !l->created_by && !l->uid)
                return 0;
        return json_object_set_new(o, "match",
                                   json_pack("{ss* ss* ss*}", "title", l->title, "created_by", l->created_by,
                                             "uid", l->uid)) < 0
                               ? -ENOMEM
                               : 0;
}

static int add_cases(json_t *o, const PolicyLayer *l)
{
        _cleanup_json_ json_t *cases = json_array();

        for (size_t i = 0; i < l->n_cases; i++)
                if (json_array_append_new(cases, layer_to_json(l->cases[i])) < 0)
                        return -ENOMEM;
        return l->n_cases > 0 && json_object_set(o, "cases", cases) < 0 ? -ENOMEM : 0;
}

static json_t *layer_to_json(const PolicyLayer *l)
{
        _cleanup_json_ json_t *o = json_object(), *origins = json_object();

        for (size_t i = 0; i < l->n_values; i++) {
                const PolicyKey *k = policy_key(l->values[i].key);
                const PolicyChosen v = { l->values[i].node, l->values[i].source->name };
                if (add_value(o, k->name, node_to_json(v.node, k->is_plain)) < 0 ||
                    add_origins(origins, k->name, &v) < 0)
                        return NULL;
        }
        if (json_object_set(o, "origins", origins) < 0 || add_match(o, l) < 0 || add_cases(o, l) < 0 ||
            (l->task_types && add_layers(o, "task_types", l->task_types) < 0))
                return NULL;
        return TAKE_PTR(o);
}

json_t *policy_to_json(const Policy *p)
{
        assert(p);

        _cleanup_json_ json_t *o = json_object();
        if ((p->max_parallel > 0 && json_set_integer(o, "max_parallel", p->max_parallel) < 0) ||
            json_object_set_new(o, "built-in", layer_to_json(p->builtin)) < 0 ||
            json_object_set_new(o, "defaults", layer_to_json(p->defaults)) < 0 ||
            add_layers(o, "subsystems", p->subsystems) < 0)
                return NULL;
        return TAKE_PTR(o);
}

/* ---- reading back ---- */

/* Nodes live in a TaskPolicy that is thrown away afterwards. */
static YamlNode *json_to_node(TaskPolicy *memory, json_t *j, const char *key)
{
        YamlNode *node = task_policy_alloc(memory, sizeof(*node));
        const char *name;
        char text[40] = "";
        json_t *value;
        size_t i;

        if (!node)
                return NULL;
        if (key && !(node->key = task_policy_strdup(memory, key)))
                return NULL;
        YamlNode **last = &node->first;
        switch (json_typeof(j)) {
        case JSON_OBJECT:
                node->kind = YAML_KIND_MAPPING;
                json_object_foreach(j, name, value) {
                        if (!(*last = json_to_node(memory, value, name)))
                                return NULL;
                        last = &(*last)->next;
                }
                return node;
        case JSON_ARRAY:
                node->kind = YAML_KIND_SEQUENCE;
                json_array_foreach(j, i, value) {
                        if (!(*last = json_to_node(memory, value, NULL)))
                                return NULL;
                        last = &(*last)->next;
                }
                return node;
        case JSON_INTEGER:
                snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(j));
                break;
        case JSON_REAL:
                snprintf(text, sizeof(text), "%.15g", json_real_value(j));
                break;
        case JSON_STRING:
                break;
        case JSON_TRUE:
        case JSON_FALSE:
        case JSON_NULL:
                snprintf(text, sizeof(text), "%s", json_is_true(j) ? "yes" : "no");
                break;
        }
        node->kind = YAML_KIND_SCALAR;
        node->text = task_policy_strdup(memory, json_is_string(j) ? json_string_value(j) : text);
        return node->text ? node : NULL;
}

/* "10-healing.yaml:9:30" */
static void parse_origin(TaskPolicy *memory, json_t *origins, const char *name, const char **ret_file,
                         YamlPlace *ret_place)
{
        const char *text = json_get_string(origins, name);
        const char *column = text ? strrchr(text, ':') : NULL;
        uint32_t line = 0, at = 0;

        *ret_file = "";
        *ret_place = (YamlPlace){ 0 };
        if (!text || streq(text, "built-in"))
                return;
        char *file = task_policy_strdup(memory, text);
        if (!file)
                return;
        *ret_file = file;
        if (!column || parse_u32(column + 1, &at) < 0)
                return;
        file[column - text] = '\0';
        char *colon = strrchr(file, ':');
        if (!colon || parse_u32(colon + 1, &line) < 0)
                return;
        *colon = '\0';
        *ret_place = (YamlPlace){ line, at };
}

static json_t *find_value(json_t *all, const char *name)
{
        const char *dot = strchr(name, '.');
        char group[32];

        if (!dot)
                return json_object_get(all, name);
        snprintf(group, sizeof(group), "%.*s", (int)(dot - name), name);
        return json_object_get(json_object_get(all, group), dot + 1);
}

static int read_value(PolicyReader *r, TaskPolicy *memory, json_t *all, size_t id)
{
        json_t *value = find_value(all, policy_key(id)->name), *origins = json_object_get(all, "origins");
        const char *ignored;
        char item[96];
        unsigned i = 0;

        if (!value)
                return 0;
        YamlNode *node = json_to_node(memory, value, NULL);
        if (!node)
                return policy_oom(r);
        r->path = policy_key(id)->name;
        parse_origin(memory, origins, r->path, &r->file, &node->place);
        for (YamlNode *child = node->kind == YAML_KIND_SEQUENCE ? node->first : NULL; child;
             child = child->next) {
                snprintf(item, sizeof(item), "%s.%u", r->path, i++);
                parse_origin(memory, origins, item, &ignored, &child->place);
        }
        return policy_read(r, id, node);
}

int task_policy_from_json(const char *text, TaskPolicy **ret, ReeveError *reterr)
{
        _cleanup_json_ json_t *all = NULL;
        int x;

        assert(text);
        assert(ret);

        _cleanup_(task_policy_unrefp) TaskPolicy *p = task_policy_new(), *memory = task_policy_new();
        if (!p || !memory)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot read the policy");
        if ((x = json_parse(text, strlen(text), JSON_DEPTH, &all, reterr)) < 0)
                return x;
        PolicyReader r = { .p = p, .source = "stored policy", .file = "", .reterr = reterr };
        p->priority_max = 10;
        for (size_t id = 0; id < policy_n_keys(); id++)
                if ((x = read_value(&r, memory, all, id)) < 0)
                        return x;
        policy_finish(p);
        p->storage->json = strdup(text);
        if (!p->storage->json)
                return policy_oom(&r);
        hash_text(text, p->hash);
        *ret = TAKE_PTR(p);
        return 0;
}
