/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Configuration is root's, so this parser is not attacked; it must still say where a fault is instead of
 * crashing. For any bytes: what is refused says why, with file, line and column; a tree is whole and
 * within its bounds; and what the settings make of it is either refused likewise or within the range of
 * each key. */

#include "daemon/settings/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/strings.h"
#include "daemon/settings/settings-table.h"
#include "tests/fuzz/fuzz.h"

static void check_refused(int r, const ReeveError *e)
{
        unsigned line, column;

        assert(r == -EINVAL);
        assert(e->code == REEVE_ERROR_INVALID_ARGUMENT);
        assert(sscanf(e->text, "input:%u:%u: ", &line, &column) == 2);
        assert(line > 0 && column > 0);
        assert(!string_has_control(e->text, strlen(e->text)));
}

/* Returns the number of nodes. */
static unsigned check_node(const YamlNode *n, bool in_mapping, unsigned depth)
{
        unsigned count = 1;

        assert(depth <= YAML_TREE_DEPTH_MAX + 1);
        assert(n->place.line > 0 && n->place.column > 0);
        assert((n->key != NULL) == in_mapping);
        assert((n->text != NULL) == (n->kind == YAML_KIND_SCALAR));
        assert(!n->first || n->kind != YAML_KIND_SCALAR);
        for (const YamlNode *child = n->first; child; child = child->next) {
                count += check_node(child, n->kind == YAML_KIND_MAPPING, depth + 1);
                if (child->key)
                        assert(yaml_node_get(n, child->key) == child);
        }
        return count;
}

static void check_fields(const YamlField *fields, const Settings *s)
{
        for (const YamlField *f = fields; f->key; f++) {
                const char *at = (const char *)s + f->offset;
                if (f->type == YAML_FIELD_MAP) {
                        check_fields(f->fields, s);
                        continue;
                }
                uint64_t v = f->type == YAML_FIELD_U32 ? *(const uint32_t *)at : *(const uint64_t *)at;
                assert((v >= f->min && v <= f->max) || (v == 0 && f->or_infinity));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(yaml_tree_freep) YamlTree *t = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        Settings s = settings_default;

        int r = yaml_tree_parse("input", (const char *)data, size, &t, &e);
        if (r < 0) {
                assert(!t);
                check_refused(r, &e);
                return 0;
        }
        if (t->root)
                assert(check_node(t->root, false, 1) <= YAML_TREE_NODES_MAX);
        r = yaml_load(t, t->root, "", settings_fields, &s, &e);
        if (r < 0)
                check_refused(r, &e);
        else
                check_fields(settings_fields, &s);
        return 0;
}
