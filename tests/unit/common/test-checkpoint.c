/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Signed checkpoints: what is signed opens, and nothing else does. */

#include "common/tlog/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "basic/strings.h"
#include "tests/unit/test.h"

#define NAME "reeve/host.example"

typedef struct Fixture {
        CheckpointKey key;
        uint8_t secret[CHECKPOINT_SECRET_SIZE];
        Checkpoint checkpoint;
        char text[CHECKPOINT_TEXT_MAX];
} Fixture;

static int setup(void **state)
{
        Fixture *f = NEW0(Fixture, 1);

        strcpy(f->key.name, NAME);
        checkpoint_key_generate(&f->key, f->secret);
        f->checkpoint.size = 47;
        memset(f->checkpoint.root.bytes, 0x5a, TLOG_HASH_SIZE);
        checkpoint_sign(&f->checkpoint, &f->key, f->secret, f->text);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        free(*state);
        return 0;
}

static void test_round_trip(void **state)
{
        const Fixture *f = *state;
        ReeveError e = REEVE_ERROR_NULL;
        Checkpoint c;

        assert_ok(checkpoint_open(f->text, &f->key, &c, &e), e);
        assert_string_equal(c.origin, NAME);
        assert_int_equal(c.size, 47);
        assert_true(tlog_hash_equal(&c.root, &f->checkpoint.root));
}

/* The form is C2SP's, to the byte. */
static void test_form(void **state)
{
        static const char expected[] =
                        NAME "\n47\nWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=\n\n\xe2\x80\x94 " NAME " ";
        const Fixture *f = *state;

        assert_memory_equal(f->text, expected, strlen(expected));
        assert_int_equal(strlen(f->text), strlen(expected) + 92 + 1); /* 68 bytes as base64 */
        assert_int_equal(f->text[strlen(f->text) - 1], '\n');
}

static void test_every_byte_counts(void **state)
{
        Fixture *f = *state;
        Checkpoint c;

        for (size_t i = 0; f->text[i]; i++)
                for (char bit = 1; bit < 64; bit = (char)(bit << 1)) {
                        f->text[i] ^= bit;
                        if (checkpoint_open(f->text, &f->key, &c, NULL) >= 0)
                                fail_msg("byte %zu changed, and it opens:\n%s", i, f->text);
                        f->text[i] ^= bit;
                }
        for (size_t n = strlen(f->text); n > 0; n--) {
                f->text[n - 1] = '\0';
                if (checkpoint_open(f->text, &f->key, &c, NULL) >= 0)
                        fail_msg("cut to %zu bytes, and it opens", n - 1);
        }
}

static void test_of_others(void **state)
{
        const Fixture *f = *state;
        ReeveError e = REEVE_ERROR_NULL;
        CheckpointKey other = f->key;
        uint8_t secret[CHECKPOINT_SECRET_SIZE];
        char both[2 * CHECKPOINT_TEXT_MAX];
        Checkpoint c;

        checkpoint_key_generate(&other, secret);
        assert_error(checkpoint_open(f->text, &other, &c, &e), e, REEVE_ERROR_PERMISSION_DENIED,
                     "checkpoint");
        strcpy(other.name, "another");
        assert_error(checkpoint_open(f->text, &other, &c, &e), e, REEVE_ERROR_INVALID_ARGUMENT,
                     "checkpoint");

        /* a witness has signed before */
        const char *signature = strstr(f->text, "\n\n") + 2;
        snprintf(both, sizeof(both), "%.*s\xe2\x80\x94 witness AAAAAAAA\n%s", (int)(signature - f->text),
                 f->text, signature);
        assert_ok(checkpoint_open(both, &f->key, &c, &e), e);
        assert_int_equal(c.size, 47);
}

static void test_bad_checkpoints(void **state)
{
        static const char *const texts[] = {
                "",
                "\n",
                NAME,
                NAME "\n",
                NAME "\n\n",
                NAME "\n047\n",
                NAME "\n-1\n",
                NAME "\n18446744073709551616\n",
                NAME "\n47 \n",
                NAME "\n47\n\n",
                NAME "\n47\nWlpa\n\n",
                NAME "\n47\nWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo\n\n",
                NAME "\n47\nWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=\nand more",
        };
        const Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                ReeveError e = REEVE_ERROR_NULL;
                Checkpoint c;

                assert_error(checkpoint_open(texts[i], &f->key, &c, &e), e, REEVE_ERROR_INVALID_ARGUMENT,
                             "checkpoint");
        }
}

static void test_keys(void **state)
{
        const Fixture *f = *state;
        ReeveError e = REEVE_ERROR_NULL;
        char text[CHECKPOINT_KEY_MAX], damaged[CHECKPOINT_KEY_MAX];
        CheckpointKey k;

        checkpoint_key_format(&f->key, text);
        assert_ok(checkpoint_key_parse(text, &k, &e), e);
        assert_string_equal(k.name, NAME);
        assert_memory_equal(k.public_key, f->key.public_key, sizeof(k.public_key));

        for (size_t i = 0; text[i]; i++) {
                strcpy(damaged, text);
                damaged[i] = damaged[i] == 'A' ? 'B' : 'A';
                assert_error(checkpoint_key_parse(damaged, &k, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "key");
                strcpy(damaged, text);
                damaged[i] = '\0';
                assert_error(checkpoint_key_parse(damaged, &k, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "key");
        }
}

static void test_names(void **state)
{
        char longest[CHECKPOINT_ORIGIN_MAX + 2];

        memset(longest, 'x', sizeof(longest));
        longest[CHECKPOINT_ORIGIN_MAX + 1] = '\0';
        assert_false(checkpoint_name_is_valid(longest));
        longest[CHECKPOINT_ORIGIN_MAX] = '\0';
        assert_true(checkpoint_name_is_valid(longest));
        assert_true(checkpoint_name_is_valid("h\xc3\xb6st"));
        assert_false(checkpoint_name_is_valid(""));
        assert_false(checkpoint_name_is_valid("a b"));
        assert_false(checkpoint_name_is_valid("a+b"));
        assert_false(checkpoint_name_is_valid("a\nb"));
        assert_false(checkpoint_name_is_valid("\xff"));
}

/* The longest name there is fits, with its signature. */
static void test_longest(void **state)
{
        Fixture *f = *state;
        ReeveError e = REEVE_ERROR_NULL;
        char key[CHECKPOINT_KEY_MAX];
        CheckpointKey k;
        Checkpoint c;

        memset(f->key.name, 'x', CHECKPOINT_ORIGIN_MAX);
        f->checkpoint.size = UINT64_MAX;
        checkpoint_sign(&f->checkpoint, &f->key, f->secret, f->text);
        assert_ok(checkpoint_open(f->text, &f->key, &c, &e), e);
        assert_true(c.size == UINT64_MAX);
        checkpoint_key_format(&f->key, key);
        assert_ok(checkpoint_key_parse(key, &k, &e), e);
        assert_string_equal(k.name, f->key.name);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
                cmocka_unit_test_setup_teardown(test_form, setup, teardown),
                cmocka_unit_test_setup_teardown(test_every_byte_counts, setup, teardown),
                cmocka_unit_test_setup_teardown(test_of_others, setup, teardown),
                cmocka_unit_test_setup_teardown(test_bad_checkpoints, setup, teardown),
                cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
                cmocka_unit_test(test_names),
                cmocka_unit_test_setup_teardown(test_longest, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
