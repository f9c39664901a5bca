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

#define KEY_SIZE crypto_auth_hmacsha256_KEYBYTES

/* The bytes of a ticket. */
typedef struct TicketForm {
        uint8_t serial[16];
        uint64_t le_expiry;
        uint32_t le_uid, le_attempts;
        uint8_t mac[crypto_auth_hmacsha256_BYTES]; /* of what is before it */
} TicketForm;

static_assert(sizeof(TicketForm) == LAUNCHER_TICKET_SIZE, "no padding");

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

static void sign(const TicketKey *key, const TicketForm *form, const void *text, size_t size, uint8_t *ret)
{
        crypto_auth_hmacsha256_state state;

        crypto_auth_hmacsha256_init(&state, key->bytes, KEY_SIZE);
        crypto_auth_hmacsha256_update(&state, (const unsigned char *)form, offsetof(TicketForm, mac));
        crypto_auth_hmacsha256_update(&state, text, size);
        crypto_auth_hmacsha256_final(&state, ret);
        sodium_memzero(&state, sizeof(state));
}

int ticket_make(const TicketKey *key, uid_t uid, uint32_t attempts, usec_t now_realtime, const void *text,
                size_t size, uint8_t ret[static LAUNCHER_TICKET_SIZE], ReeveError *reterr)
{
        TicketForm form = {
                .le_expiry = htole64(usec_add(now_realtime, LAUNCHER_TICKET_LIFETIME_USEC)),
                .le_uid = htole32(uid),
                .le_attempts = htole32(attempts),
        };

        assert(key);
        assert(text);

        if (getrandom(form.serial, sizeof(form.serial), 0) != sizeof(form.serial))
                return reeve_error_errno(reterr, errno, NULL, "no random numbers");
        sign(key, &form, text, size, form.mac);
        memcpy(ret, &form, sizeof(form));
        return 0;
}

int ticket_check(const TicketKey *key, const uint8_t ticket[static LAUNCHER_TICKET_SIZE],
                 usec_t now_realtime, const void *text, size_t size, Ticket *ret, ReeveError *reterr)
{
        uint8_t mac[crypto_auth_hmacsha256_BYTES];
        TicketForm form;

        assert(key);
        assert(text);
        assert(ret);

        memcpy(&form, ticket, sizeof(form));
        sign(key, &form, text, size, mac);
        if (sodium_memcmp(mac, form.mac, sizeof(mac)) != 0)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "ticket",
                                       "the ticket is not for this specification");
        *ret = (Ticket){ .expiry_realtime_usec = le64toh(form.le_expiry),
                         .uid = le32toh(form.le_uid),
                         .attempts = le32toh(form.le_attempts) };
        memcpy(ret->serial, form.serial, sizeof(ret->serial));
        if (ret->expiry_realtime_usec <= now_realtime)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "ticket",
                                       "the ticket has expired");
        return 0;
}
