/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The text in which a keeper writes network counters down, read back as reeved does. What the kernel counts is
 * tests/component/launcher/test-net.c's. */

#include "common/net/net-usage.h"

#include <string.h>

#include "tests/unit/test.h"

static void expect_same(const NetCount *c)
{
        Usage parsed = { 0 }, set = { 0 };
        char text[NET_TEXT_SIZE];

        size_t n = net_format(c, text);
        assert_in_range(n, 1, NET_TEXT_SIZE - 1);
        assert_int_equal(strlen(text), n);
        assert_int_equal(usage_parse_file(&parsed, NET_FILE_NAME, text, USAGE_KERNEL_FINAL), 1);
        net_to_usage(&set, c, USAGE_KERNEL_FINAL);
        assert_memory_equal(&parsed, &set, sizeof(Usage));
}

static void test_text(void **state)
{
        NetCount c = { .rx_bytes = 1,
                       .rx_packets = 23,
                       .tx_bytes = 456,
                       .tx_packets = 7890,
                       .loopback_rx_bytes = 10,
                       .loopback_tx_bytes = 100000 };
        char text[NET_TEXT_SIZE];

        net_format(&c, text);
        assert_string_equal(text, "rx_bytes 1\ntx_bytes 456\nrx_packets 23\ntx_packets 7890\n"
                                  "loopback_rx_bytes 10\nloopback_tx_bytes 100000\n");
        expect_same(&c);
        expect_same(&(NetCount){ 0 });
}

/* The longest text fits; numbers that an account cannot hold are the largest that it can. */
static void test_largest(void **state)
{
        NetCount c;

        memset(&c, 0xff, sizeof(c));
        expect_same(&c);
}

static void test_unknown(void **state)
{
        Usage u = { 0 };

        usage_set(&u, USAGE_CPU, 5, USAGE_KERNEL);
        net_to_usage(&u, &(NetCount){ .rx_bytes = 7 }, USAGE_KERNEL);
        assert_int_equal(u.value[USAGE_NET_RX], 7);
        net_to_usage(&u, NULL, USAGE_KERNEL);
        for (int f = 0; f < _USAGE_FIELD_MAX; f++)
                assert_int_equal(usage_has(&u, (UsageField)f), f == USAGE_CPU);
}

static void test_bad_text(void **state)
{
        static const char *const texts[] = { "",
                                             "\n",
                                             "rx_bytes",
                                             "rx_bytes \n",
                                             "rx_bytes -1\n",
                                             "rx_bytes 1 2\n",
                                             "loopback_rx_byte 1\n",
                                             "xrx_bytes 1\n" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                Usage u = { 0 };

                usage_parse_file(&u, NET_FILE_NAME, texts[i], USAGE_KERNEL_FINAL);
                for (int f = 0; f < _USAGE_FIELD_MAX; f++)
                        if (usage_has(&u, (UsageField)f))
                                fail_msg("'%s' gave %s", texts[i], usage_field_info((UsageField)f)->name);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_largest),
                cmocka_unit_test(test_unknown),
                cmocka_unit_test(test_bad_text),
        };

        return cmocka_run_group_tests_name("common/net", tests, NULL, NULL);
}
