/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A copy of the database where the caller wants it, with the caller's rights.
 *
 * reeved may write in its own folders only, and should not write wherever somebody tells it to. So it makes the copy
 * there, without a name, and passes a descriptor; here it is copied once more, into a file that the caller opened. What
 * is left behind after a failure on the way is nothing: not with reeved, and the file is the caller's. */

#include "libreeve/connection.h"

#include <errno.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/json/json.h"

#define CHUNK_BYTES ((size_t)1 << 20)

static int copy_with_buffer(int from, int to, int64_t *bytes)
{
        char buffer[65536];

        for (;;) {
                ssize_t n = read(from, buffer, sizeof(buffer));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : 0;
                int r = fd_write_full(to, buffer, (size_t)n);
                if (r < 0)
                        return r;
                *bytes += n;
        }
}

/* In the kernel, where that is possible between these two. */
static int copy_all(int from, int to, int64_t *bytes)
{
        for (;;) {
                ssize_t n = copy_file_range(from, NULL, to, NULL, CHUNK_BYTES, 0);
                if (n == 0)
                        return 0;
                if (n > 0)
                        *bytes += n;
                else if (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP ||
                         errno == EBADF)
                        return copy_with_buffer(from, to, bytes);
                else if (errno != EINTR)
                        return -errno;
        }
}

/* The descriptor of the copy. */
static int receive_copy(VarlinkClient *client, int *ret_fd, int64_t *ret_bytes, ReeveError *reterr)
{
        _cleanup_(varlink_reply_done) VarlinkReply reply = { 0 };

        int r = varlink_client_receive(client, USEC_INFINITY, &reply, reterr);
        if (r < 0)
                return connection_broken(r, reterr);
        if (reply.error)
                return varlink_reply_to_error(&reply, reterr);
        int64_t index = json_get_integer(reply.parameters, "file", -1);
        if (index < 0 || (uint64_t)index >= reply.n_fds || reply.fds[index] < 0)
                return reeve_error_set(reterr, REEVE_ERROR_INTERNAL, NULL, "the registry passed no copy");
        *ret_bytes = json_get_integer(reply.parameters, "bytes", -1);
        *ret_fd = TAKE_FD(reply.fds[index]);
        return 0;
}

int reeve_backup(ReeveConnection *c, int fd, int64_t *ret_bytes, ReeveError *reterr)
{
        _cleanup_json_ json_t *parameters = json_pack("{s:b}", "pass", 1);
        _cleanup_fd_ int copy = -EBADF;
        int64_t expected = 0, bytes = 0;
        VarlinkClient *client;

        assert(c);
        assert(fd >= 0);

        if (!parameters)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot back up");
        int r = connection_client(c, &client, reterr);
        if (r < 0)
                return r;
        r = varlink_client_send(client, "io.reeve.Registry.Backup", parameters, 0, NULL, 0, reterr);
        if (r < 0)
                return connection_broken(r, reterr);
        r = receive_copy(client, &copy, &expected, reterr);
        if (r < 0)
                return r;

        r = copy_all(copy, fd, &bytes);
        if (r >= 0 && fsync(fd) < 0)
                r = -errno;
        if (r >= 0 && bytes != expected)
                r = -EIO;
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot write the copy");
        if (ret_bytes)
                *ret_bytes = bytes;
        return 0;
}
