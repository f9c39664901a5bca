/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "common/varlink/varlink-idl.h"
#include "tests/unit/test.h"

static VarlinkIdl *parse(const char *text)
{
        VarlinkIdl *idl = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        assert_ok(varlink_idl_parse(text, strlen(text), &idl, &e), e);
        return idl;
}

static void test_members(void **state)
{
        _cleanup_(varlink_idl_freep) VarlinkIdl *idl =
                        parse("# about it\ninterface org.example.a-b.c2 # here\n"
                              "type T (type: int, object: ?[][string](a, b_c, d1))\n"
                              "type E(one,two)\r\n\tmethod M(in: T)->(out: ?E) error Bad()");

        assert_string_equal(varlink_idl_name(idl), "org.example.a-b.c2");
        assert_int_equal(varlink_idl_n_members(idl), 4);
        const VarlinkMember *t = varlink_idl_member_at(idl, 0);
        assert_string_equal(t->name, "T");
        assert_int_equal(t->input->n_fields, 2);
        assert_int_equal(t->input->fields[1].type->kind, VARLINK_TYPE_MAYBE);
        assert_int_equal(t->input->fields[1].type->element->kind, VARLINK_TYPE_ARRAY);
        assert_int_equal(t->input->fields[1].type->element->element->element->kind, VARLINK_TYPE_ENUM);
        const VarlinkMember *m = varlink_idl_find(idl, VARLINK_MEMBER_METHOD, "M");
        assert_non_null(m);
        assert_ptr_equal(m->input->fields[0].type->element, t->input);
        assert_null(varlink_idl_find(idl, VARLINK_MEMBER_METHOD, "Bad"));
        assert_non_null(varlink_idl_find(idl, VARLINK_MEMBER_ERROR, "Bad"));
}

static void test_errors(void **state)
{
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "", "1:1: expected interface" },
                { "# only\n", "2:1: expected interface" },
                { "interfaces a.b", "1:1: expected interface" },
                { "interface a", "1:11: expected an interface name" },
                { "interface 1.b", "1:11: expected an interface name" },
                { "interface a..b", "1:11: expected an interface name" },
                { "interface a.-b", "1:11: expected an interface name" },
                { "interface a.b-", "1:11: expected an interface name" },
                { "interface a.b\nmethods M() -> ()", "2:1: expected type, method or error" },
                { "interface a.b\nmethod m() -> ()", "2:8: expected a name that begins" },
                { "interface a.b\nmethod M() ()", "2:12: expected ->" },
                { "interface a.b\nmethod M()", "2:11: expected ->" },
                { "interface a.b\nmethod M(a, b) -> ()", "2:9: parameters need types" },
                { "interface a.b\nmethod M(a: int -> ()", "2:17: expected )" },
                { "interface a.b\nmethod M(a: int,) -> ()", "2:17: expected a field name" },
                { "interface a.b\nmethod M(a_: int) -> ()", "2:10: expected a field name" },
                { "interface a.b\nmethod M(a__b: int) -> ()", "2:10: expected a field name" },
                { "interface a.b\nmethod M(a: ??int) -> ()", "2:14: one ? is enough" },
                { "interface a.b\nmethod M(a: ) -> ()", "2:13: expected a type" },
                { "interface a.b\nmethod M(a: integer) -> ()", "2:13: expected a type" },
                { "interface a.b\nmethod M(a: [int]) -> ()", "2:13: expected a type" },
                { "interface a.b\ntype T (a, b: int)", "2:12: either all fields" },
                { "interface a.b\ntype T (a: int, b)", "2:17: either all fields" },
                { "interface a.b\ntype T (a: int, a: int)", "2:17: field defined twice: a" },
                { "interface a.b\ntype T ()\nerror T ()", "3:7: defined twice: T" },
                { "interface a.b\ntype T (a: U)", "2:12: no such type: U" },
                { "interface a.b\ntype T (a: U)\nerror U ()", "2:12: no such type: U" },
                { "interface a.b\ntype T (a: []?[string](x: U))", "2:27: no such type: U" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                VarlinkIdl *idl = NULL;
                ReeveError e = REEVE_ERROR_NULL;
                assert_errno(varlink_idl_parse(cases[i].text, strlen(cases[i].text), &idl, &e), -EINVAL,
                             cases[i].text);
                if (!string_after(e.text, cases[i].expected))
                        fail_msg("%s: got \"%s\", expected \"%s...\"", cases[i].text, e.text,
                                 cases[i].expected);
        }
}

static void test_nul_is_no_blank(void **state)
{
        VarlinkIdl *idl = NULL;
        ReeveError e;

        assert_int_equal(varlink_idl_parse("interface a.b\0", 14, &idl, &e), -EINVAL);
        assert_int_equal(varlink_idl_parse("interface a\0b.c", 15, &idl, &e), -EINVAL);
}

static int parse_nested(const char *open, const char *close, unsigned n)
{
        _cleanup_buffer_ Buffer b = { 0 };
        VarlinkIdl *idl = NULL;

        buffer_append_text(&b, "interface a.b type T (a: ");
        for (unsigned i = 0; i < n; i++)
                buffer_append_text(&b, open);
        buffer_append_text(&b, "int");
        for (unsigned i = 0; i < n; i++)
                buffer_append_text(&b, close);
        buffer_append_text(&b, ")");
        int r = varlink_idl_parse(b.data, b.size, &idl, NULL);
        varlink_idl_free(idl);
        return r;
}

static void test_nesting(void **state)
{
        assert_int_equal(parse_nested("(a:", ")", 60), 0);
        assert_int_equal(parse_nested("(a:", ")", 100000), -EINVAL);
        assert_int_equal(parse_nested("[]", "", 60), 0);
        assert_int_equal(parse_nested("[]", "", 100000), -EINVAL);
        assert_int_equal(parse_nested("?[string]", "", 100000), -EINVAL);
}

static void test_check(void **state)
{
        static const struct {
                const char *text, *at; /* NULL: right */
        } cases[] = {
                { "{\"i\":1,\"f\":1.5,\"o\":{\"any\":[]},\"e\":\"one\",\"m\":{\"k\":{\"v\":true}}}", NULL },
                { "{\"i\":1,\"f\":1,\"o\":{},\"e\":\"two\",\"m\":{},\"t\":{\"i\":0,\"f\":0,\"o\":{},\"e\":"
                  "\"one\","
                  "\"m\":{}},\"x\":[null]}",
                  NULL },
                { "{\"i\":1,\"f\":1,\"o\":{},\"e\":\"two\",\"m\":{},\"t\":null,\"x\":null}", NULL },
                { "[]", "" },
                { "{}", "i" },
                { "{\"i\":1.0}", "i" },
                { "{\"i\":1,\"f\":\"\"}", "f" },
                { "{\"i\":1,\"f\":1,\"o\":[]}", "o" },
                { "{\"i\":1,\"f\":1,\"o\":{},\"e\":\"three\"}", "e" },
                { "{\"i\":1,\"f\":1,\"o\":{},\"e\":1}", "e" },
                { "{\"i\":1,\"f\":1,\"o\":{},\"e\":\"one\",\"m\":[]}", "m" },
                { "{\"i\":1,\"f\":1,\"o\":{},\"e\":\"one\",\"m\":{\"a b\":{}}}", "m.a b.v" },
                { "{\"i\":1,\"f\":1,\"o\":{},\"e\":\"one\",\"m\":{\"k\":{\"v\":1}}}", "m.k.v" },
                { "{\"i\":1,\"f\":1,\"o\":{},\"e\":\"one\",\"m\":{},\"t\":{\"i\":null}}", "t.i" },
                { "{\"i\":1,\"f\":1,\"o\":{},\"e\":\"one\",\"m\":{},\"y\":1}", "y" },
        };
        _cleanup_(varlink_idl_freep) VarlinkIdl *idl = parse("interface a.b type T (i: int, f: float, o: "
                                                             "object, e: E, m: [string](v: bool), t: ?T, "
                                                             "x: ?[]any) type E (one, two)");
        const VarlinkType *type = varlink_idl_find(idl, VARLINK_MEMBER_TYPE, "T")->input;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_json_ json_t *j = json_loads(cases[i].text, 0, NULL);
                ReeveError e = REEVE_ERROR_NULL;
                assert_non_null(j);
                int r = varlink_type_check(type, j, &e);
                assert_errno(r, cases[i].at ? -EINVAL : 0, cases[i].text);
                if (cases[i].at)
                        assert_string_equal(e.field, cases[i].at);
        }
}

/* A path that does not fit is cut, and nothing else happens. */
static void test_check_long_path(void **state)
{
        _cleanup_(varlink_idl_freep) VarlinkIdl *idl =
                        parse("interface a.b type T (m: [string][string]int)");
        char key[1000];
        ReeveError e = REEVE_ERROR_NULL;

        memset(key, 'k', sizeof(key) - 1);
        key[sizeof(key) - 1] = 0;
        _cleanup_json_ json_t *j = json_pack("{s{s{ss}}}", "m", key, key, "x");
        assert_int_equal(varlink_type_check(varlink_idl_member_at(idl, 0)->input, j, &e), -EINVAL);
        assert_int_equal(strlen(e.field), sizeof(e.field) - 1);
}

static void test_registry(void **state)
{
        _cleanup_free_ char *text = NULL;
        size_t n;

        assert_int_equal(fd_read_file_alloc(AT_FDCWD, SOURCE_ROOT "/src/api/io.reeve.Registry.varlink",
                                            1024 * 1024, &text, &n),
                         0);
        _cleanup_(varlink_idl_freep) VarlinkIdl *idl = parse(text);
        assert_string_equal(varlink_idl_name(idl), "io.reeve.Registry");
        assert_non_null(varlink_idl_find(idl, VARLINK_MEMBER_METHOD, "Run"));

        /* Any prefix of it is parsed or refused, never overrun: the text is in memory of exactly its
         * size. */
        for (size_t i = 0; i < n; i += 7) {
                char *copy = malloc(i + 1);
                VarlinkIdl *part = NULL;
                memcpy(copy, text, i);
                varlink_idl_parse(copy, i, &part, NULL);
                varlink_idl_free(part);
                free(copy);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_members),  cmocka_unit_test(test_errors),
                cmocka_unit_test(test_nesting),  cmocka_unit_test(test_nul_is_no_blank),
                cmocka_unit_test(test_check),    cmocka_unit_test(test_check_long_path),
                cmocka_unit_test(test_registry),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
