/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* serial(16) | expiry(8) | uid(4) | attempts(4) | HMAC-SHA-256(key, those 32 bytes | specification), numbers little
 * endian. The length needs no place of its own: the fields before the specification have a fixed one. */

#include "launcher/ticket.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "basic/fd.h"

#define SIGNED_SIZE 32
#define KEY_SIZE    crypto_auth_hmacsha256_KEYBYTES

static_assert(SIGNED_SIZE + crypto_auth_hmacsha256_BYTES == LAUNCHER_TICKET_SIZE, "the form of a ticket");

struct TicketKey {
        unsigned char bytes[KEY_SIZE];
};

static int create_key(int dir_fd, unsigned char *key)
{
        if (getrandom(key, KEY_SIZE, 0) != KEY_SIZE)
                return -EIO;
        /* Under another name first, so that a crash leaves a whole key or none. */
        unlinkat(dir_fd, "key.new", 0);
        _cleanup_fd_ int fd = openat(dir_fd, "key.new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        int r = fd_write_full(fd, key, KEY_SIZE);
        if (r < 0)
                return r;
        if (fsync(fd) < 0 || renameat(dir_fd, "key.new", dir_fd, "key") < 0)
                return -errno;
        return 0;
}

static int read_key(int dir_fd, unsigned char *key)
{
        struct stat st;

        _cleanup_fd_ int fd = openat(dir_fd, "key", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 077) || st.st_size != KEY_SIZE)
                return -EBADMSG;
        return fd_read_full(fd, key, KEY_SIZE) == KEY_SIZE ? 0 : -EIO;
}

int ticket_key_load(int dir_fd, const TicketKey **ret, ReeveError *reterr)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE);

        assert(ret);

        if (sodium_init() < 0)
                return reeve_error_set(reterr, REEVE_ERROR_INTERNAL, NULL, "libsodium does not start");
        void *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
                return reeve_error_errno(reterr, errno, NULL, "cannot map a page for the key");
        if (madvise(memory, page, MADV_WIPEONFORK) < 0 || madvise(memory, page, MADV_DONTDUMP) < 0)
                return reeve_error_errno(reterr, errno, NULL, "cannot guard the page of the key");
        (void)mlock(memory, page); /* a host without lockable memory has swap to guard by itself */

        int r = read_key(dir_fd, memory);
        if (r == -ENOENT)
                r = create_key(dir_fd, memory);
        if (r < 0)
                return reeve_error_errno(reterr, r, "key", "cannot read the key of the launcher");
        mprotect(memory, page, PROT_READ);
        *ret = memory;
        return 0;
}

static void sign(const TicketKey *key, const uint8_t *fields, const void *text, size_t size, uint8_t *ret)
{
        crypto_auth_hmacsha256_state state;

        crypto_auth_hmacsha256_init(&state, key->bytes, KEY_SIZE);
        crypto_auth_hmacsha256_update(&state, fields, SIGNED_SIZE);
        crypto_auth_hmacsha256_update(&state, text, size);
        crypto_auth_hmacsha256_final(&state, ret);
        sodium_memzero(&state, sizeof(state));
}

int ticket_make(const TicketKey *key, uid_t uid, uint32_t attempts, usec_t now_realtime, const void *text,
                size_t size, uint8_t ret[static LAUNCHER_TICKET_SIZE], ReeveError *reterr)
{
        uint64_t expiry = htole64(usec_add(now_realtime, LAUNCHER_TICKET_LIFETIME_USEC));
        uint32_t le_uid = htole32(uid), le_attempts = htole32(attempts);

        assert(key);
        assert(text);

        if (getrandom(ret, 16, 0) != 16)
                return reeve_error_errno(reterr, errno, NULL, "no random numbers");
        memcpy(ret + 16, &expiry, 8);
        memcpy(ret + 24, &le_uid, 4);
        memcpy(ret + 28, &le_attempts, 4);
        sign(key, ret, text, size, ret + SIGNED_SIZE);
        return 0;
}

int ticket_check(const TicketKey *key, const uint8_t ticket[static LAUNCHER_TICKET_SIZE],
                 usec_t now_realtime, const void *text, size_t size, Ticket *ret, ReeveError *reterr)
{
        uint8_t mac[crypto_auth_hmacsha256_BYTES];
        uint64_t expiry;
        uint32_t uid, attempts;

        assert(key);
        assert(text);
        assert(ret);

        sign(key, ticket, text, size, mac);
        if (sodium_memcmp(mac, ticket + SIGNED_SIZE, sizeof(mac)) != 0)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "ticket",
                                       "the ticket is not for this specification");
        memcpy(&expiry, ticket + 16, 8);
        memcpy(&uid, ticket + 24, 4);
        memcpy(&attempts, ticket + 28, 4);
        *ret = (Ticket){ .expiry_realtime_usec = le64toh(expiry),
                         .uid = le32toh(uid),
                         .attempts = le32toh(attempts) };
        memcpy(ret->serial, ticket, sizeof(ret->serial));
        if (ret->expiry_realtime_usec <= now_realtime)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "ticket",
                                       "the ticket has expired");
        return 0;
}
