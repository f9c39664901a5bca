/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Strictness with a helping hand. A configuration that is almost right is worse than one that is refused:
 * a misspelt limit would not limit. So every key must be in the table and every value must parse whole and
 * lie within its bounds, and the message says where, what was expected in the unit of the key, and what
 * came.
 *
 * Types are rows of a table (what to expect, how to parse, how to store), so a further one is a row here
 * and a name in the header. Mappings with free keys (subsystems of a policy) are walked by their owner,
 * who calls yaml_load() for each child.
 *
 * The suggestion is the key with the fewest edits (insert, delete, replace, swap two neighbours), if they
 * are at most a third of the word. */

#include "common/yaml/yaml-load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "basic/parse.h"
#include "basic/strings.h"

#define KEY_LENGTH_MAX 63 /* for suggestions */

static const char *const kind_names[] = {
        [YAML_KIND_SCALAR] = "a single value",
        [YAML_KIND_MAPPING] = "a mapping",
        [YAML_KIND_SEQUENCE] = "a list",
};

/* ---- types ---- */

static char *format_number(uint64_t v, char *buffer, size_t size)
{
        snprintf(buffer, size, "%" PRIu64, v);
        return buffer;
}

static char *format_bytes(uint64_t v, char *buffer, size_t size)
{
        return bytes_format(v, buffer, size);
}

static char *format_span(uint64_t v, char *buffer, size_t size)
{
        return usec_format_exact(v, buffer, size);
}

static void store_u32(void *target, uint64_t v)
{
        *(uint32_t *)target = (uint32_t)v;
}

static void store_u64(void *target, uint64_t v)
{
        *(uint64_t *)target = v;
}

static const struct {
        const char *expected;
        int (*parse)(const char *text, uint64_t *ret);
        char *(*format)(uint64_t v, char *buffer, size_t size);
        void (*store)(void *target, uint64_t v);
} types[_YAML_FIELD_TYPE_MAX] = {
        [YAML_FIELD_U32] = { "a whole number", parse_u64, format_number, store_u32 },
        [YAML_FIELD_BYTES] = { "a size such as 512K or 64M", parse_bytes, format_bytes, store_u64 },
        [YAML_FIELD_SPAN] = { "a time span such as 30s or 1h 30min", parse_span, format_span, store_u64 },
        [YAML_FIELD_MAP] = { "a mapping", NULL, NULL, NULL },
};

/* ---- suggestions ---- */

static unsigned edit_distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
        unsigned rows[3][KEY_LENGTH_MAX + 1];

        for (size_t j = 0; j <= n_b; j++)
                rows[0][j] = (unsigned)j;
        for (size_t i = 1; i <= n_a; i++) {
                unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
                row[0] = (unsigned)i;
                for (size_t j = 1; j <= n_b; j++) {
                        row[j] = MIN(MIN(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                row[j] = MIN(row[j], above2[j - 2] + 1);
                }
        }
        return rows[n_a % 3][n_b];
}

const char *yaml_nearest_key(const YamlField *fields, const char *word)
{
        const char *best = NULL;

        assert(fields);
        assert(word);

        size_t n = strlen(word);
        if (n > KEY_LENGTH_MAX)
                return NULL;
        unsigned best_distance = (unsigned)(n + 2) / 3 + 1;
        for (const YamlField *f = fields; f->key; f++) {
                assert(strlen(f->key) <= KEY_LENGTH_MAX);
                unsigned d = edit_distance(word, n, f->key, strlen(f->key));
                if (d < best_distance) {
                        best_distance = d;
                        best = f->key;
                }
        }
        return best;
}

/* ---- loading ---- */

static const YamlField *find_field(const YamlField *fields, const char *key)
{
        for (; fields->key; fields++)
                if (streq(fields->key, key))
                        return fields;
        return NULL;
}

static int unknown_key(const YamlTree *t, const YamlNode *node, const char *path, const YamlField *fields,
                       ReeveError *reterr)
{
        char shown[YAML_SHOWN_SIZE];
        const char *nearest = yaml_nearest_key(fields, node->key);

        yaml_shown(node->key, shown);
        if (nearest)
                return yaml_error(reterr, t->source, node->key_place, path,
                                  "unknown key '%s'; did you mean '%s'?", shown, nearest);
        return yaml_error(reterr, t->source, node->key_place, path, "unknown key '%s'", shown);
}

static int out_of_range(const YamlTree *t, const YamlNode *node, const char *path, const YamlField *f,
                        ReeveError *reterr)
{
        char shown[YAML_SHOWN_SIZE], low[64], high[64];

        types[f->type].format(f->min, low, sizeof(low));
        types[f->type].format(f->max, high, sizeof(high));
        return yaml_error(reterr, t->source, node->place, path, "%s (%s) must be from %s to %s%s, not '%s'",
                          path, f->text, low, high, f->or_infinity ? " or infinity" : "",
                          yaml_shown(node->text, shown));
}

static int load_scalar(const YamlTree *t, const YamlNode *node, const char *path, const YamlField *f,
                       void *target, ReeveError *reterr)
{
        char shown[YAML_SHOWN_SIZE];
        uint64_t v;

        if (f->or_infinity && streq(node->text, "infinity")) {
                types[f->type].store((char *)target + f->offset, 0);
                return 0;
        }
        int r = types[f->type].parse(node->text, &v);
        if (r == -ERANGE || (r >= 0 && (v < f->min || v > f->max)))
                return out_of_range(t, node, path, f, reterr);
        if (r < 0)
                return yaml_error(reterr, t->source, node->place, path, "%s (%s) must be %s, not '%s'", path,
                                  f->text, types[f->type].expected, yaml_shown(node->text, shown));
        types[f->type].store((char *)target + f->offset, v);
        return 0;
}

static int wrong_kind(const YamlTree *t, const YamlNode *node, const char *path, const char *expected,
                      ReeveError *reterr)
{
        const char *came = node->kind == YAML_KIND_SCALAR && !node->text[0] ? "nothing"
                                                                            : kind_names[node->kind];
        return yaml_error(reterr, t->source, node->place, path, "%s must be %s, not %s",
                          path[0] ? path : "the file", expected, came);
}

static int load_field(const YamlTree *t, const YamlNode *node, const char *path, const YamlField *f,
                      void *target, ReeveError *reterr)
{
        if (f->type == YAML_FIELD_MAP)
                return yaml_load(t, node, path, f->fields, target, reterr);
        if (node->kind != YAML_KIND_SCALAR || !node->text[0])
                return wrong_kind(t, node, path, types[f->type].expected, reterr);
        return load_scalar(t, node, path, f, target, reterr);
}

int yaml_load(const YamlTree *t, const YamlNode *node, const char *path, const YamlField *fields,
              void *target, ReeveError *reterr)
{
        char below[sizeof(((ReeveError *)NULL)->field)], shown[YAML_SHOWN_SIZE];

        assert(t);
        assert(path);
        assert(fields);
        assert(target);

        if (!node)
                return 0;
        if (node->kind != YAML_KIND_MAPPING)
                return wrong_kind(t, node, path, types[YAML_FIELD_MAP].expected, reterr);

        for (const YamlNode *child = node->first; child; child = child->next) {
                snprintf(below, sizeof(below), "%s%s%s", path, path[0] ? "." : "",
                         yaml_shown(child->key, shown));
                const YamlField *f = find_field(fields, child->key);
                int r = f ? load_field(t, child, below, f, target, reterr)
                          : unknown_key(t, child, below, fields, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}
