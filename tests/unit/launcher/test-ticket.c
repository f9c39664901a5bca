/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tickets and the list of spent ones. Needs root only where the key's owner is looked at. */

#include "launcher/ticket.h"
#include "launcher/spent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/time.h"
#include "tests/unit/test.h"

#define NOW  (1000000 * USEC_PER_SEC)
#define TEXT "reeve-spec=1"

static int dir_fd = -1;
static char dir[] = "/tmp/reeve-ticket-XXXXXX";

static int setup(void **state)
{
        assert_non_null(mkdtemp(dir));
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return dir_fd < 0;
}

static int teardown(void **state)
{
        for (unsigned i = 0; i < 256; i++) {
                char sub[3];

                snprintf(sub, sizeof(sub), "%02x", i);
                unlinkat(dir_fd, sub, AT_REMOVEDIR);
        }
        unlinkat(dir_fd, "key", 0);
        close(dir_fd);
        return rmdir(dir);
}

static void test_ticket(void **state)
{
        ReeveError e = REEVE_ERROR_NULL;
        const TicketKey *key, *again;
        uint8_t ticket[LAUNCHER_TICKET_SIZE], second[LAUNCHER_TICKET_SIZE];
        Ticket t;

        if (geteuid() != 0)
                skip();
        assert_ok(ticket_key_load(dir_fd, &key, &e), e);
        assert_ok(ticket_make(key, 1234, 3, NOW, TEXT, sizeof(TEXT), ticket, &e), e);
        assert_ok(ticket_check(key, ticket, NOW, TEXT, sizeof(TEXT), &t, &e), e);
        assert_int_equal(t.uid, 1234);
        assert_int_equal(t.attempts, 3);
        assert_true(t.expiry_realtime_usec == NOW + LAUNCHER_TICKET_LIFETIME_USEC);

        /* The same key is there the next time, and each ticket has a serial of its own. */
        assert_ok(ticket_key_load(dir_fd, &again, &e), e);
        assert_ok(ticket_check(again, ticket, NOW, TEXT, sizeof(TEXT), &t, &e), e);
        assert_ok(ticket_make(key, 1234, 3, NOW, TEXT, sizeof(TEXT), second, &e), e);
        assert_memory_not_equal(ticket, second, 16);

        /* The last moment, and the first one after it. */
        assert_ok(ticket_check(key, ticket, t.expiry_realtime_usec - 1, TEXT, sizeof(TEXT), &t, &e), e);
        assert_error(ticket_check(key, ticket, t.expiry_realtime_usec, TEXT, sizeof(TEXT), &t, &e), e,
                     REEVE_ERROR_PERMISSION_DENIED, "ticket");

        assert_error(ticket_check(key, ticket, NOW, TEXT, sizeof(TEXT) - 1, &t, &e), e,
                     REEVE_ERROR_PERMISSION_DENIED, "ticket");
        for (size_t i = 0; i < sizeof(ticket) * 8; i++) {
                memcpy(second, ticket, sizeof(second));
                second[i / 8] ^= (uint8_t)(1 << i % 8);
                assert_error(ticket_check(key, second, NOW, TEXT, sizeof(TEXT), &t, &e), e,
                             REEVE_ERROR_PERMISSION_DENIED, "ticket");
        }
}

/* A key that others could have read or written is none. */
static void test_bad_key(void **state)
{
        ReeveError e = REEVE_ERROR_NULL;
        const TicketKey *key;

        if (geteuid() != 0)
                skip();
        assert_ok(ticket_key_load(dir_fd, &key, &e), e);
        assert_int_equal(fchmodat(dir_fd, "key", 0640, 0), 0);
        assert_int_equal(ticket_key_load(dir_fd, &key, &e), -EBADMSG);
        assert_int_equal(fchmodat(dir_fd, "key", 0600, 0), 0);
        int fd = openat(dir_fd, "key", O_WRONLY | O_TRUNC | O_CLOEXEC);
        assert_int_equal(ticket_key_load(dir_fd, &key, &e), -EBADMSG);
        close(fd);
        unlinkat(dir_fd, "key", 0);
        assert_int_equal(symlinkat("/etc/hostname", dir_fd, "key"), 0);
        assert_int_equal(ticket_key_load(dir_fd, &key, &e), -ELOOP);
        unlinkat(dir_fd, "key", 0);
}

static void test_spent(void **state)
{
        uint8_t a[16] = { 0xab, 1 }, b[16] = { 0xab, 2 };

        assert_int_equal(spent_has(dir_fd, a, 1), 0);
        assert_int_equal(spent_add(dir_fd, a, 1), 0);
        assert_int_equal(spent_has(dir_fd, a, 1), 1);
        assert_int_equal(spent_add(dir_fd, a, 1), -EEXIST);
        assert_int_equal(spent_has(dir_fd, a, 2), 0);
        assert_int_equal(spent_has(dir_fd, b, 1), 0);
        assert_int_equal(spent_add(dir_fd, b, 1), 0);
        assert_int_equal(spent_remove(dir_fd, b, 1), 0);
        assert_int_equal(spent_remove(dir_fd, b, 1), -ENOENT);
        assert_int_equal(spent_has(dir_fd, b, 1), 0);

        /* It goes when no ticket of its time can be valid, and not before. */
        struct timespec times[2] = { { .tv_sec = 1000000 }, { .tv_sec = 1000000 } };
        assert_int_equal(utimensat(dir_fd, "ab/ab010000000000000000000000000000.1", times, 0), 0);
        spent_expire(dir_fd, NOW + LAUNCHER_TICKET_LIFETIME_USEC + USEC_PER_DAY);
        assert_int_equal(spent_has(dir_fd, a, 1), 1);
        spent_expire(dir_fd, NOW + LAUNCHER_TICKET_LIFETIME_USEC + USEC_PER_DAY + USEC_PER_SEC);
        assert_int_equal(spent_has(dir_fd, a, 1), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ticket),
                cmocka_unit_test(test_bad_key),
                cmocka_unit_test(test_spent),
        };

        return cmocka_run_group_tests_name("launcher-ticket", tests, setup, teardown);
}
