/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Signed notes, as little of them as a log's own checkpoints need: one signature is made, one is looked for. A note is read
 * line by line and strictly: one way to write a size, a root, a signature line. What follows the third line before the empty one
 * (extensions) is signed too and not looked at, as the format demands. */

#include "common/tlog/checkpoint.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "basic/parse.h"
#include "basic/strings.h"

#define ALGORITHM      1 /* Ed25519 */
#define KEY_ID_SIZE    4
#define SIGNATURE_MARK "\xe2\x80\x94 "

static_assert(crypto_sign_PUBLICKEYBYTES == CHECKPOINT_PUBLIC_SIZE, "libsodium's keys");
static_assert(crypto_sign_SECRETKEYBYTES == CHECKPOINT_SECRET_SIZE, "libsodium's keys");

typedef struct SignatureBytes {
        uint8_t key_id[KEY_ID_SIZE];
        uint8_t signature[crypto_sign_BYTES];
} SignatureBytes;

typedef struct KeyBytes {
        uint8_t algorithm;
        uint8_t public_key[CHECKPOINT_PUBLIC_SIZE];
} KeyBytes;

/* The base64 text of n bytes, with the NUL. */
#define BASE64_SIZE(n) (sodium_base64_ENCODED_LEN((n), sodium_base64_VARIANT_ORIGINAL))

static void to_base64(const void *bytes, size_t n, char *ret, size_t size)
{
        sodium_bin2base64(ret, size, bytes, n, sodium_base64_VARIANT_ORIGINAL);
}

/* Exactly n bytes, written the one way that there is. */
static bool from_base64(const char *text, size_t length, void *ret, size_t n)
{
        size_t got;

        return sodium_base642bin(ret, n, text, length, NULL, &got, NULL, sodium_base64_VARIANT_ORIGINAL) ==
                               0 &&
               got == n && length == BASE64_SIZE(n) - 1;
}

static void key_id(const CheckpointKey *k, uint8_t ret[static KEY_ID_SIZE])
{
        uint8_t hash[crypto_hash_sha256_BYTES];
        crypto_hash_sha256_state h;

        crypto_hash_sha256_init(&h);
        crypto_hash_sha256_update(&h, (const uint8_t *)k->name, strlen(k->name));
        crypto_hash_sha256_update(&h, (const uint8_t[]){ '\n', ALGORITHM }, 2);
        crypto_hash_sha256_update(&h, k->public_key, sizeof(k->public_key));
        crypto_hash_sha256_final(&h, hash);
        memcpy(ret, hash, KEY_ID_SIZE);
}

bool checkpoint_name_is_valid(const char *name)
{
        assert(name);

        size_t n = strlen(name);
        if (n == 0 || n > CHECKPOINT_ORIGIN_MAX || !utf8_is_valid(name, n))
                return false;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)name[i] <= ' ' || name[i] == '+' || name[i] == 0x7f)
                        return false;
        return true;
}

void checkpoint_key_generate(CheckpointKey *ret, uint8_t secret[static CHECKPOINT_SECRET_SIZE])
{
        assert(ret);

        crypto_sign_keypair(ret->public_key, secret);
}

void checkpoint_key_format(const CheckpointKey *k, char ret[static CHECKPOINT_KEY_MAX])
{
        KeyBytes bytes = { .algorithm = ALGORITHM };
        uint8_t id[KEY_ID_SIZE];
        char id_text[2 * KEY_ID_SIZE + 1], key_text[BASE64_SIZE(sizeof(bytes))];

        assert(k);

        memcpy(bytes.public_key, k->public_key, sizeof(bytes.public_key));
        key_id(k, id);
        sodium_bin2hex(id_text, sizeof(id_text), id, sizeof(id));
        to_base64(&bytes, sizeof(bytes), key_text, sizeof(key_text));
        snprintf(ret, CHECKPOINT_KEY_MAX, "%s+%s+%s", k->name, id_text, key_text);
}

static int bad_key(const char *what, ReeveError *reterr)
{
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "key", "%s", what);
}

int checkpoint_key_parse(const char *text, CheckpointKey *ret, ReeveError *reterr)
{
        char id_text[2 * KEY_ID_SIZE + 1];
        uint8_t id[KEY_ID_SIZE];
        CheckpointKey k = { 0 };
        KeyBytes bytes;

        assert(text);
        assert(ret);

        const char *plus = strchr(text, '+');
        const char *second = plus ? strchr(plus + 1, '+') : NULL;
        if (!second || (size_t)(plus - text) >= sizeof(k.name))
                return bad_key("a public key is <name>+<id>+<base64>", reterr);
        memcpy(k.name, text, (size_t)(plus - text));
        if (!checkpoint_name_is_valid(k.name))
                return bad_key("its name is empty, or has a space or a control character in it", reterr);
        if (!from_base64(second + 1, strlen(second + 1), &bytes, sizeof(bytes)))
                return bad_key("its last part is not 33 bytes of base64", reterr);
        if (bytes.algorithm != ALGORITHM)
                return bad_key("it is not an Ed25519 key", reterr);
        memcpy(k.public_key, bytes.public_key, sizeof(k.public_key));
        key_id(&k, id);
        sodium_bin2hex(id_text, sizeof(id_text), id, sizeof(id));
        if ((size_t)(second - plus - 1) != strlen(id_text) ||
            memcmp(plus + 1, id_text, strlen(id_text)) != 0)
                return bad_key("its id is not that of its name and key: is it complete?", reterr);
        *ret = k;
        return 0;
}

void checkpoint_sign(const Checkpoint *c, const CheckpointKey *k,
                     const uint8_t secret[static CHECKPOINT_SECRET_SIZE],
                     char ret[static CHECKPOINT_TEXT_MAX])
{
        SignatureBytes s;
        char root[BASE64_SIZE(TLOG_HASH_SIZE)], signature[BASE64_SIZE(sizeof(s))];

        assert(c);
        assert(k);

        to_base64(c->root.bytes, TLOG_HASH_SIZE, root, sizeof(root));
        int n = snprintf(ret, CHECKPOINT_TEXT_MAX, "%s\n%" PRIu64 "\n%s\n", k->name, c->size, root);
        assert(n > 0 && n < CHECKPOINT_TEXT_MAX);
        key_id(k, s.key_id);
        crypto_sign_detached(s.signature, NULL, (const uint8_t *)ret, (size_t)n, secret);
        to_base64(&s, sizeof(s), signature, sizeof(signature));
        int more = snprintf(ret + n, (size_t)(CHECKPOINT_TEXT_MAX - n), "\n" SIGNATURE_MARK "%s %s\n",
                            k->name, signature);
        assert(more > 0 && n + more < CHECKPOINT_TEXT_MAX);
}

/* ---- reading ---- */

static int no_checkpoint(const char *what, ReeveError *reterr)
{
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "checkpoint", "%s", what);
}

/* The next line, without its LF; false at the end and at a line without one. */
static bool next_line(const char **at, const char **ret, size_t *ret_length)
{
        const char *end = strchr(*at, '\n');

        if (!end)
                return false;
        *ret = *at;
        *ret_length = (size_t)(end - *at);
        *at = end + 1;
        return true;
}

static int parse_size(const char *line, size_t length, uint64_t *ret)
{
        char text[24];

        if (length == 0 || length >= sizeof(text) || (line[0] == '0' && length > 1))
                return -EINVAL;
        memcpy(text, line, length);
        text[length] = '\0';
        return parse_u64(text, ret);
}

/* The three lines. *ret_signed: how much of the text a signature covers; *at then is behind the empty line. */
static int parse_body(const char **at, const char *text, Checkpoint *c, size_t *ret_signed,
                      ReeveError *reterr)
{
        const char *line;
        size_t n;

        if (!next_line(at, &line, &n) || n == 0 || n > CHECKPOINT_ORIGIN_MAX)
                return no_checkpoint("its first line is not the name of a log", reterr);
        memcpy(c->origin, line, n);
        c->origin[n] = '\0';
        if (!next_line(at, &line, &n) || parse_size(line, n, &c->size) < 0)
                return no_checkpoint("its second line is not a number of entries", reterr);
        if (!next_line(at, &line, &n) || !from_base64(line, n, c->root.bytes, TLOG_HASH_SIZE))
                return no_checkpoint("its third line is not 32 bytes of base64", reterr);
        do {
                *ret_signed = (size_t)(*at - text);
                if (!next_line(at, &line, &n))
                        return no_checkpoint("it ends before its signatures", reterr);
        } while (n > 0);
        return 0;
}

static bool is_signed_by(const char *line, size_t length, const CheckpointKey *k, const char *text,
                         size_t size)
{
        size_t mark = strlen(SIGNATURE_MARK), name = strlen(k->name);
        uint8_t id[KEY_ID_SIZE];
        SignatureBytes s;

        if (length <= mark + name + 1 || memcmp(line, SIGNATURE_MARK, mark) != 0 ||
            memcmp(line + mark, k->name, name) != 0 || line[mark + name] != ' ')
                return false;
        if (!from_base64(line + mark + name + 1, length - mark - name - 1, &s, sizeof(s)))
                return false;
        key_id(k, id);
        return memcmp(id, s.key_id, sizeof(id)) == 0 &&
               crypto_sign_verify_detached(s.signature, (const uint8_t *)text, size, k->public_key) == 0;
}

int checkpoint_open(const char *text, const CheckpointKey *k, Checkpoint *ret, ReeveError *reterr)
{
        Checkpoint c = { 0 };
        const char *at = text, *line;
        size_t size = 0, n;

        assert(text);
        assert(k);
        assert(ret);

        int r = parse_body(&at, text, &c, &size, reterr);
        if (r < 0)
                return r;
        if (!streq(c.origin, k->name))
                return no_checkpoint("it is of another log than the key", reterr);
        while (next_line(&at, &line, &n))
                if (is_signed_by(line, n, k, text, size)) {
                        *ret = c;
                        return 0;
                }
        return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "checkpoint",
                               "it has no valid signature of this key");
}
