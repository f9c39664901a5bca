/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The key is made once, and whoever replaces it ends what its log can prove; so it is created complete or not at all: written
 * beside, synced, and linked to its name, which fails if another was quicker. */

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/tlog/checkpoint.h"

#define HEAD      "PRIVATE+KEY+"
#define ALGORITHM 1
#define TEXT_MAX  512

typedef struct SeedBytes {
        uint8_t algorithm;
        uint8_t seed[crypto_sign_SEEDBYTES];
} SeedBytes;

#define SEED_TEXT_SIZE (sodium_base64_ENCODED_LEN(sizeof(SeedBytes), sodium_base64_VARIANT_ORIGINAL))

static int bad_file(const char *path, const char *what, ReeveError *reterr)
{
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, path, "%s is not a key: %s", path,
                               what);
}

/* Base64 may have more of them. */
static char *second_plus(char *text)
{
        char *plus = strchr(text, '+');
        return plus ? strchr(plus + 1, '+') : NULL;
}

/* "<name>+<id>" of the public key's text is also what stands in the private one's. */
static void name_and_id(const CheckpointKey *k, char ret[static CHECKPOINT_KEY_MAX])
{
        checkpoint_key_format(k, ret);
        char *end = ASSERT_PTR(second_plus(ret));
        *end = '\0';
}

static void format(const CheckpointKey *k, const uint8_t secret[static CHECKPOINT_SECRET_SIZE],
                   char ret[static TEXT_MAX])
{
        char head[CHECKPOINT_KEY_MAX], seed_text[SEED_TEXT_SIZE];
        SeedBytes bytes = { .algorithm = ALGORITHM };

        crypto_sign_ed25519_sk_to_seed(bytes.seed, secret);
        sodium_bin2base64(seed_text, sizeof(seed_text), (const uint8_t *)&bytes, sizeof(bytes),
                          sodium_base64_VARIANT_ORIGINAL);
        name_and_id(k, head);
        snprintf(ret, TEXT_MAX, HEAD "%s+%s\n", head, seed_text);
        sodium_memzero(&bytes, sizeof(bytes));
        sodium_memzero(seed_text, sizeof(seed_text));
}

static int parse(const char *path, char *text, CheckpointKey *ret,
                 uint8_t ret_secret[static CHECKPOINT_SECRET_SIZE], ReeveError *reterr)
{
        char expected[CHECKPOINT_KEY_MAX];
        SeedBytes bytes;
        size_t n;

        text[strcspn(text, "\n")] = '\0';
        if (strncmp(text, HEAD, strlen(HEAD)) != 0)
                return bad_file(path, "it does not begin with " HEAD, reterr);
        char *name = text + strlen(HEAD), *seed_text = second_plus(name);
        if (!seed_text)
                return bad_file(path, "it has no name, id and seed", reterr);
        *seed_text++ = '\0';
        size_t length = strcspn(name, "+");
        if (length >= sizeof(ret->name))
                return bad_file(path, "its name is too long", reterr);
        memcpy(ret->name, name, length);
        ret->name[length] = '\0';
        if (!checkpoint_name_is_valid(ret->name))
                return bad_file(path, "its name is none", reterr);
        if (sodium_base642bin((uint8_t *)&bytes, sizeof(bytes), seed_text, strlen(seed_text), NULL, &n, NULL,
                              sodium_base64_VARIANT_ORIGINAL) != 0 ||
            n != sizeof(bytes) || bytes.algorithm != ALGORITHM)
                return bad_file(path, "its last part is not an Ed25519 seed", reterr);
        crypto_sign_seed_keypair(ret->public_key, ret_secret, bytes.seed);
        sodium_memzero(&bytes, sizeof(bytes));
        name_and_id(ret, expected);
        return streq(name, expected) ? 0 : bad_file(path, "its id is not that of its name and key", reterr);
}

static int load(const char *path, int fd, CheckpointKey *ret,
                uint8_t ret_secret[static CHECKPOINT_SECRET_SIZE], ReeveError *reterr)
{
        char text[TEXT_MAX];
        struct stat st;

        if (fstat(fd, &st) < 0)
                return reeve_error_errno(reterr, errno, path, "cannot look at %s", path);
        if (!S_ISREG(st.st_mode) || (st.st_mode & 077) || st.st_uid != geteuid())
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, path,
                                       "%s must be a file of mode 0600 that belongs to uid %u", path,
                                       (unsigned)geteuid());
        ssize_t n = fd_read_full(fd, text, sizeof(text) - 1);
        if (n < 0)
                return reeve_error_errno(reterr, (int)n, path, "cannot read %s", path);
        text[n] = '\0';
        int r = parse(path, text, ret, ret_secret, reterr);
        sodium_memzero(text, sizeof(text));
        return r;
}

/* Writes the text to a file of its own and links it to its name. -EEXIST: there is one now. */
static int write_new(const char *path, const char *text)
{
        char part[PATH_MAX], directory[PATH_MAX];

        if (snprintf(part, sizeof(part), "%s.new", path) >= (int)sizeof(part))
                return -ENAMETOOLONG;
        (void)unlink(part);
        _cleanup_fd_ int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        int r = fd_write_full(fd, text, strlen(text));
        if (r >= 0 && (fchmod(fd, 0600) < 0 || fsync(fd) < 0 || link(part, path) < 0))
                r = -errno;
        (void)unlink(part);
        if (r < 0)
                return r;
        snprintf(directory, sizeof(directory), "%s", path);
        *strrchr(directory, '/') = '\0';
        _cleanup_fd_ int dir_fd = open(directory[0] ? directory : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return dir_fd < 0 || fsync(dir_fd) < 0 ? -errno : 0;
}

static int create(const char *path, const char *name, ReeveError *reterr)
{
        uint8_t secret[CHECKPOINT_SECRET_SIZE];
        CheckpointKey k = { 0 };
        char text[TEXT_MAX];

        if (!checkpoint_name_is_valid(name))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "origin",
                                       "'%.64s' cannot be the name of a log", name);
        strcpy(k.name, name);
        checkpoint_key_generate(&k, secret);
        format(&k, secret, text);
        int r = write_new(path, text);
        sodium_memzero(secret, sizeof(secret));
        sodium_memzero(text, sizeof(text));
        return r < 0 && r != -EEXIST ? reeve_error_errno(reterr, r, path, "cannot write %s", path) : 0;
}

int checkpoint_file_open(const char *path, const char *name, CheckpointKey *ret,
                         uint8_t ret_secret[static CHECKPOINT_SECRET_SIZE], ReeveError *reterr)
{
        assert(path && path[0] == '/');
        assert(name);
        assert(ret);

        for (int tries = 0;; tries++) {
                _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
                if (fd >= 0)
                        return load(path, fd, ret, ret_secret, reterr);
                if (errno != ENOENT || tries > 0)
                        return reeve_error_errno(reterr, errno, path, "cannot read %s", path);
                int r = create(path, name, reterr);
                if (r < 0)
                        return r;
        }
}
