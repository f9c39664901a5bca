/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tree against the vectors of Certificate Transparency and against the definition of RFC 6962, written down here a second
 * time, naively; then every proof of small logs, each damaged in every way that there is. */

#include "common/tlog/tlog.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/test.h"

#define LOG 600 /* entries of the largest log here: three tiles at level 0 */

typedef struct Fixture {
        TlogHash leaves[LOG];
        TlogHash tiles[TLOG_LEVELS][LOG];
        size_t n[TLOG_LEVELS];
        TlogFrontier frontier;
        TlogReader reader;
        unsigned reads;
} Fixture;

static int store(unsigned level, uint64_t index, const TlogHash *hash, void *userdata)
{
        Fixture *f = userdata;

        assert_true(level < TLOG_LEVELS);
        assert_int_equal(index, f->n[level]); /* in order, none left out */
        f->tiles[level][f->n[level]++] = *hash;
        return 0;
}

static int read_tile(unsigned level, uint64_t index, TlogHash ret[static TLOG_TILE_WIDTH], void *userdata)
{
        Fixture *f = userdata;
        size_t from = index * TLOG_TILE_WIDTH;

        f->reads++;
        if (from >= f->n[level])
                return 0;
        size_t n = MIN(f->n[level] - from, (size_t)TLOG_TILE_WIDTH);
        memcpy(ret, f->tiles[level] + from, n * sizeof(TlogHash));
        return (int)n;
}

static int setup(void **state)
{
        Fixture *f = NEW0(Fixture, 1);

        for (unsigned i = 0; i < LOG; i++) {
                tlog_leaf_hash(&i, sizeof(i), f->leaves + i);
                assert_int_equal(tlog_append(&f->frontier, f->leaves + i, store, f), 0);
        }
        tlog_reader_init(&f->reader, read_tile, f);
        *state = f;
        return 0;
}

static int teardown(void **state)
{
        free(*state);
        return 0;
}

/* MTH() as section 2.1 of RFC 6962 defines it. */
static TlogHash definition(const TlogHash *leaves, size_t n)
{
        TlogHash left, right, hash;
        size_t k = 1;

        if (n == 0)
                tlog_empty_hash(&hash);
        else if (n == 1)
                hash = leaves[0];
        else {
                while (2 * k < n)
                        k *= 2;
                left = definition(leaves, k);
                right = definition(leaves + k, n - k);
                tlog_node_hash(&left, &right, &hash);
        }
        return hash;
}

static void assert_hash(const TlogHash *h, const char *expected, size_t n)
{
        char text[2 * TLOG_HASH_SIZE + 1];

        sodium_bin2hex(text, sizeof(text), h->bytes, sizeof(h->bytes));
        if (strcmp(text, expected) != 0)
                fail_msg("%zu entries: got %s, expected %s", n, text, expected);
}

/* The entries and roots with which Certificate Transparency's own implementations are tested. */
static void test_vectors(void **state)
{
        static const struct {
                const char *entry; /* hexadecimal */
                const char *root;  /* of the log up to it */
        } vectors[] = {
                { "", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d" },
                { "00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125" },
                { "10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77" },
                { "2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7" },
                { "3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4" },
                { "40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef" },
                { "5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c" },
                { "606162636465666768696a6b6c6d6e6f",
                  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" },
        };
        TlogFrontier f = { 0 };
        TlogHash hash;

        tlog_root(&f, &hash);
        assert_hash(&hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0);
        for (size_t i = 0; i < ELEMENTSOF(vectors); i++) {
                uint8_t entry[16];
                size_t n;

                assert_int_equal(sodium_hex2bin(entry, sizeof(entry), vectors[i].entry,
                                                strlen(vectors[i].entry), NULL, &n, NULL),
                                 0);
                tlog_leaf_hash(entry, n, &hash);
                assert_int_equal(tlog_append(&f, &hash, NULL, NULL), 0);
                tlog_root(&f, &hash);
                assert_hash(&hash, vectors[i].root, i + 1);
        }
}

static void test_roots(void **state)
{
        Fixture *f = *state;
        TlogFrontier grown = { 0 }, read;

        for (size_t n = 0; n <= LOG; n++) {
                TlogHash expected = definition(f->leaves, n), hash;

                tlog_root(&grown, &hash);
                assert_true(tlog_hash_equal(&hash, &expected));
                assert_int_equal(tlog_root_at(&f->reader, n, &hash), 0);
                assert_true(tlog_hash_equal(&hash, &expected));
                assert_int_equal(tlog_frontier_at(&f->reader, n, &read), 0);
                tlog_root(&read, &hash);
                assert_true(tlog_hash_equal(&hash, &expected));
                if (n < LOG)
                        assert_int_equal(tlog_append(&grown, f->leaves + n, NULL, NULL), 0);
        }
}

/* A store that fails leaves the frontier as it was. */
static int refuse(unsigned level, uint64_t index, const TlogHash *hash, void *userdata)
{
        return level == 1 ? -EIO : 0;
}

static void test_failures(void **state)
{
        Fixture *f = *state;
        TlogFrontier g = { 0 }, before;
        TlogHash proof[TLOG_PROOF_MAX];
        size_t n;

        for (size_t i = 0; i < TLOG_TILE_WIDTH - 1; i++)
                assert_int_equal(tlog_append(&g, f->leaves + i, refuse, NULL), 0);
        before = g;
        assert_int_equal(tlog_append(&g, f->leaves + TLOG_TILE_WIDTH - 1, refuse, NULL), -EIO);
        assert_memory_equal(&g, &before, sizeof(g));

        assert_int_equal(tlog_root_at(&f->reader, LOG + 1, proof), -EBADMSG);
        assert_int_equal(tlog_prove_inclusion(&f->reader, LOG, LOG, proof, &n), -ERANGE);
        assert_int_equal(tlog_prove_consistency(&f->reader, LOG + 1, LOG, proof, &n), -ERANGE);
        f->n[1] = 1; /* a tile is cut off */
        f->reader.cache[1].valid = false;
        assert_int_equal(tlog_root_at(&f->reader, 512, proof), -EBADMSG);
        f->n[1] = 2;
}

/* ---- proofs ---- */

static void damage(TlogHash *h)
{
        h->bytes[rand() % TLOG_HASH_SIZE] ^= (uint8_t)(1 << rand() % 8);
}

static void check_inclusion(const Fixture *f, uint64_t index, uint64_t size, const TlogHash *root,
                            TlogHash *proof, size_t n)
{
        const TlogHash *leaf = f->leaves + index;

        if (!tlog_check_inclusion(leaf, index, size, proof, n, root))
                fail_msg("entry %zu of %zu: its own proof is refused", (size_t)index, (size_t)size);
        assert_false(tlog_check_inclusion(leaf, index + 1, size, proof, n, root));
        assert_false(tlog_check_inclusion(f->leaves + (index + 1) % LOG, index, size, proof, n, root));
        assert_false(tlog_check_inclusion(leaf, size, size, proof, n, root));
        if (n == 0)
                return;
        assert_false(tlog_check_inclusion(leaf, index, size, proof, n - 1, root));
        proof[n] = proof[n - 1];
        assert_false(tlog_check_inclusion(leaf, index, size, proof, n + 1, root));
        TlogHash kept = proof[n / 2];
        damage(proof + n / 2);
        assert_false(tlog_check_inclusion(leaf, index, size, proof, n, root));
        proof[n / 2] = kept;
}

static void test_inclusion(void **state)
{
        Fixture *f = *state;
        TlogHash proof[TLOG_PROOF_MAX + 1], root;
        size_t n;

        srand(20261123);
        for (uint64_t size = 1; size <= LOG; size += 1 + size / 12) {
                assert_int_equal(tlog_root_at(&f->reader, size, &root), 0);
                for (uint64_t index = 0; index < size; index++) {
                        assert_int_equal(tlog_prove_inclusion(&f->reader, index, size, proof, &n), 0);
                        check_inclusion(f, index, size, &root, proof, n);
                }
        }
}

static void check_consistency(uint64_t old_size, const TlogHash *old_root, uint64_t size,
                              const TlogHash *root, TlogHash *proof, size_t n)
{
        TlogHash other = *old_root;

        if (!tlog_check_consistency(old_size, old_root, size, root, proof, n))
                fail_msg("%zu in %zu: its own proof is refused", (size_t)old_size, (size_t)size);
        damage(&other);
        assert_false(tlog_check_consistency(old_size, &other, size, root, proof, n));
        assert_false(tlog_check_consistency(size + 1, old_root, size, root, proof, n));
        proof[n] = other;
        assert_false(tlog_check_consistency(old_size, old_root, size, root, proof, n + 1));
        if (n == 0)
                return;
        assert_false(tlog_check_consistency(old_size, old_root, size, root, proof, n - 1));
        for (size_t i = 0; i < n; i++) {
                TlogHash kept = proof[i];

                damage(proof + i);
                assert_false(tlog_check_consistency(old_size, old_root, size, root, proof, n));
                proof[i] = kept;
        }
}

static void test_consistency(void **state)
{
        Fixture *f = *state;
        TlogHash proof[TLOG_PROOF_MAX + 1], old_root, root;
        size_t n;

        srand(20261124);
        for (uint64_t size = 1; size <= LOG; size += 1 + size / 12) {
                assert_int_equal(tlog_root_at(&f->reader, size, &root), 0);
                for (uint64_t old = 0; old <= size; old++) {
                        assert_int_equal(tlog_root_at(&f->reader, old, &old_root), 0);
                        assert_int_equal(tlog_prove_consistency(&f->reader, old, size, proof, &n), 0);
                        check_consistency(old, &old_root, size, &root, proof, n);
                }
        }
}

/* A log that was rewritten in one place is not the same log, whatever is offered as its proof. */
static void test_rewritten(void **state)
{
        Fixture *f = *state;
        TlogHash proof[TLOG_PROOF_MAX], old_root, root;
        size_t n;

        assert_int_equal(tlog_root_at(&f->reader, 300, &old_root), 0);
        damage(f->tiles[0] + 299);
        tlog_reader_init(&f->reader, read_tile, f);
        assert_int_equal(tlog_root_at(&f->reader, 500, &root), 0);
        assert_int_equal(tlog_prove_consistency(&f->reader, 300, 500, proof, &n), 0);
        assert_false(tlog_check_consistency(300, &old_root, 500, &root, proof, n));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_vectors),
                cmocka_unit_test_setup_teardown(test_roots, setup, teardown),
                cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
                cmocka_unit_test_setup_teardown(test_inclusion, setup, teardown),
                cmocka_unit_test_setup_teardown(test_consistency, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rewritten, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
