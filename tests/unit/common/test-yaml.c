/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The YAML tree: what it keeps, where it says a fault is, and its bounds. */

#include "common/yaml/yaml-load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "basic/strings.h"
#include "tests/unit/test.h"

static void test_tree(void **state _unused_)
{
        static const char text[] = "a:\n  b: [x, 'y z', {c: 1}]\n\"d\\te\": |\n  long\n  text\n";
        _cleanup_(yaml_tree_freep) YamlTree *t = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        assert_ok(yaml_tree_parse("f", text, strlen(text), &t, &e), e);
        assert_int_equal(t->root->kind, YAML_KIND_MAPPING);
        const YamlNode *a = yaml_node_get(t->root, "a");
        assert_non_null(a);
        const YamlNode *b = yaml_node_get(a, "b");
        assert_non_null(b);
        assert_int_equal(b->kind, YAML_KIND_SEQUENCE);
        assert_int_equal(b->key_place.line, 2);
        assert_int_equal(b->key_place.column, 3);
        assert_int_equal(b->place.column, 6);
        assert_string_equal(b->first->text, "x");
        assert_string_equal(b->first->next->text, "y z");
        assert_int_equal(b->first->next->place.column, 10);
        assert_string_equal(yaml_node_get(b->first->next->next, "c")->text, "1");
        assert_null(b->first->next->next->next);
        assert_string_equal(yaml_node_get(t->root, "d\te")->text, "long\ntext\n");
        assert_null(yaml_node_get(t->root, "b"));
}

static void test_refused(void **state _unused_)
{
        static const struct {
                const char *text, *message;
        } bad[] = {
                { "a: &x 1\n", "f:1:4: anchors and aliases are not supported" },
                { "a: &x [1]\n", "f:1:4: anchors and aliases are not supported" },
                { "a: &x {b: 1}\n", "f:1:4: anchors and aliases are not supported" },
                { "a: 1\nb: *a\n", "f:2:4: anchors and aliases are not supported" },
                { "a: !!str 1\n", "f:1:4: tags are not supported" },
                { "a: ! 1\n", "f:1:4: tags are not supported" },
                { "%YAML 1.1\n---\na: 1\n", "f:1:1: directives are not supported" },
                { "a: 1\n---\nb: 2\n", "f:2:1: a second document is not supported" },
                { "? [a]\n: 1\n", "f:1:3: a key must be a text" },
                { "x: {a: 1, b: 2, a: 3}\n", "f:1:17: key 'a' is there twice, first in line 1" },
                { "a: \"x\\0y\"\n", "f:1:4: a text cannot contain a NUL character" },
                { "a: 1\n b: 2\n", "f:2:3: mapping values are not allowed in this context" },
                { "a: [1, 2\nb: 3\n",
                  "f:2:2: did not find expected ',' or ']' (while parsing a flow sequence)" },
                { "\ta: 1\n",
                  "f:1:1: found character that cannot start any token (while scanning for the next token)" },
                { "a: 1\nb\xc3\xa4: \xff\n", "f:2:5: invalid leading UTF-8 octet" },
                { "a: \x01\n", "f:1:4: control characters are not allowed" },
        };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                YamlTree *t = NULL;
                ReeveError e = REEVE_ERROR_NULL;
                assert_errno(yaml_tree_parse("f", bad[i].text, strlen(bad[i].text), &t, &e), -EINVAL,
                             bad[i].text);
                assert_string_equal(e.text, bad[i].message);
                assert_int_equal(e.code, REEVE_ERROR_INVALID_ARGUMENT);
                assert_null(t);
        }
}

/* `n` times `piece`, then `end`. */
static char *repeat(const char *start, const char *piece, unsigned n, const char *end)
{
        Buffer b = { 0 };

        assert_int_equal(buffer_append_text(&b, start), 0);
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(buffer_append_text(&b, piece), 0);
        assert_int_equal(buffer_append_text(&b, end), 0);
        return buffer_take(&b);
}

static void expect(const char *text, const char *message)
{
        _cleanup_(yaml_tree_freep) YamlTree *t = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        int r = yaml_tree_parse("f", text, strlen(text), &t, &e);
        if (!message) {
                assert_ok(r, e);
                return;
        }
        assert_errno(r, -EINVAL, message);
        assert_string_equal(e.text, message);
}

static void test_bounds(void **state _unused_)
{
        _cleanup_free_ char *deep = repeat("", "[", YAML_TREE_DEPTH_MAX, "");
        _cleanup_free_ char *deep_ok = repeat(deep, "]", YAML_TREE_DEPTH_MAX, "\n");
        _cleanup_free_ char *deeper = repeat("", "[", YAML_TREE_DEPTH_MAX + 1, "");
        _cleanup_free_ char *endless = repeat("", "[", 100000, "");
        _cleanup_free_ char *many_ok = repeat("", "- 1\n", YAML_TREE_NODES_MAX - 1, "");
        _cleanup_free_ char *many = repeat("", "- 1\n", YAML_TREE_NODES_MAX, "");
        _cleanup_free_ char *large_ok = repeat("# ", "x", YAML_TREE_SIZE_MAX - 2, "");
        _cleanup_free_ char *large = repeat("# ", "x", YAML_TREE_SIZE_MAX - 1, "");

        expect(deep_ok, NULL);
        expect(deeper, "f:1:17: the file is nested too deeply");
        expect(endless, "f:1:17: the file is nested too deeply");
        expect(many_ok, NULL);
        expect(many, "f:10000:3: the file has too many values");
        expect(large_ok, NULL);
        expect(large, "f:1:1: the file is larger than 1 MiB");
        expect("", NULL);
        expect("---\n", NULL);
        expect("# only a comment", NULL);
}

static void test_read(void **state _unused_)
{
        YamlTree *t = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        assert_int_equal(yaml_tree_read("/nonexistent/x.yaml", &t, &e), -ENOENT);
        assert_non_null(strstr(e.text, "/nonexistent/x.yaml"));
        assert_int_equal(yaml_tree_read("/dev/zero", &t, &e), -EINVAL);
        assert_string_equal(e.text, "/dev/zero:1:1: the file is larger than 1 MiB");
        assert_null(t);
}

static void test_nearest(void **state _unused_)
{
        static const YamlField fields[] = { { "deadline" }, { "ladder" }, { "retry" }, { NULL } };
        static const struct {
                const char *word, *key;
        } cases[] = {
                { "dedline", "deadline" },
                { "deadlnie", "deadline" },
                { "DEADLINE", NULL },
                { "lader", "ladder" },
                { "rety", "retry" },
                { "r", NULL },
                { "", NULL },
                { "unrelated", NULL },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *key = yaml_nearest_key(fields, cases[i].word);
                if (!streq_null(key, cases[i].key))
                        fail_msg("'%s': got %s, expected %s", cases[i].word, key ?: "none",
                                 cases[i].key ?: "none");
        }
        _cleanup_free_ char *word = repeat("", "d", 100000, "");
        assert_null(yaml_nearest_key(fields, word));
}

static void test_shown(void **state _unused_)
{
        char buffer[YAML_SHOWN_SIZE];
        _cleanup_free_ char *umlauts = repeat("x", "\xc3\xa4", 100, "");

        assert_string_equal(yaml_shown("a\nb\x7f", buffer), "a?b?");
        yaml_shown(umlauts, buffer);
        assert_true(utf8_is_valid(buffer, strlen(buffer)));
        assert_string_equal(buffer + strlen(buffer) - 3, "...");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tree), cmocka_unit_test(test_refused), cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_read), cmocka_unit_test(test_nearest), cmocka_unit_test(test_shown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
