/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ring: order, removal while walking, splicing, and links that are in no list. */

#include "basic/list.h"

#include <string.h>

#include "tests/unit/test.h"

typedef struct Letter {
        char c;
        ListLink link;
} Letter;

/* The letters in order, forwards; and that backwards is the reverse of it. */
static void expect(const ListLink *head, const char *expected)
{
        char text[16] = "", back[16] = "";
        size_t n = 0, m = 0;

        for (const ListLink *l = head->next; l != head; l = l->next)
                text[n++] = container_of(l, const Letter, link)->c;
        for (const ListLink *l = head->prev; l != head; l = l->prev)
                back[m++] = container_of(l, const Letter, link)->c;
        assert_string_equal(text, expected);
        assert_int_equal(n, m);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(text[i], back[n - 1 - i]);
}

static void fill(ListLink *head, Letter *letters, const char *text)
{
        for (size_t i = 0; text[i]; i++) {
                letters[i] = (Letter){ .c = text[i] };
                list_append(head, &letters[i].link);
        }
}

static void test_append_and_remove(void **state _unused_)
{
        ListLink head = LIST_INIT(head);
        Letter l[3];

        assert_true(list_is_empty(&head));
        assert_null(list_pop(&head));
        fill(&head, l, "abc");
        expect(&head, "abc");
        assert_false(list_is_empty(&head));
        assert_true(list_is_linked(&l[1].link));
        list_remove(&l[1].link);
        expect(&head, "ac");
        assert_false(list_is_linked(&l[1].link));
        list_remove(&l[1].link); /* once more: nothing */
        expect(&head, "ac");
        list_append(&head, &l[1].link);
        expect(&head, "acb");
}

static void test_not_linked(void **state _unused_)
{
        Letter zero = { 0 };

        assert_false(list_is_linked(&zero.link));
        list_remove(&zero.link);
        assert_null(zero.link.next);
}

static void test_pop(void **state _unused_)
{
        ListLink head;
        Letter l[2];

        list_init(&head);
        fill(&head, l, "ab");
        assert_ptr_equal(list_pop(&head), &l[0].link);
        assert_false(list_is_linked(&l[0].link));
        assert_ptr_equal(list_pop(&head), &l[1].link);
        assert_null(list_pop(&head));
        assert_true(list_is_empty(&head));
}

static void test_splice(void **state _unused_)
{
        ListLink to = LIST_INIT(to), from = LIST_INIT(from);
        Letter l[2], m[3];

        list_splice(&to, &from);
        expect(&to, "");
        fill(&from, m, "cde");
        list_splice(&to, &from);
        expect(&to, "cde");
        expect(&from, "");
        fill(&from, l, "fg");
        list_splice(&to, &from);
        expect(&to, "cdefg");
        list_splice(&to, &from);
        expect(&to, "cdefg");
        fill(&from, l, ""); /* still a list */
        assert_true(list_is_empty(&from));
}

static void test_foreach(void **state _unused_)
{
        ListLink head = LIST_INIT(head);
        char text[8] = "";
        Letter l[4];

        LIST_FOREACH(&head, link)
                fail_msg("an element of an empty list");
        fill(&head, l, "abcd");
        LIST_FOREACH(&head, link)
                strncat(text, &container_of(link, Letter, link)->c, 1);
        assert_string_equal(text, "abcd");

        LIST_FOREACH_SAFE(&head, link)
                if (container_of(link, Letter, link)->c != 'c') {
                        list_remove(link);
                        memset(container_of(link, Letter, link), 0xee, sizeof(Letter)); /* as freed */
                }
        expect(&head, "c");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_append_and_remove),
                cmocka_unit_test(test_not_linked),
                cmocka_unit_test(test_pop),
                cmocka_unit_test(test_splice),
                cmocka_unit_test(test_foreach),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
