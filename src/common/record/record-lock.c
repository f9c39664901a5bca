/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* "Somebody lives who will complete this record" is a lock, because the kernel drops a lock however its holder
 * ends. It must belong to the open file description, not to a process: launcher, keeper and child share it by
 * fork, and it lasts until the last of them is gone.
 *
 * Both flock(2) and open-file-description locks (F_OFD_*, Linux 3.15) do that. With flock the only way to look is
 * to take the lock for a moment; if that moment is the one in which the launcher tries to adopt the task, it sees
 * a living keeper where there is none, and nobody adopts. F_OFD_GETLK looks without taking.
 *
 * Not solved here: who may read a record may take a read lock and hold on to it, and so keep the launcher from
 * adopting. Readers are root and reeve; a hostile reeved can lose its own account anyway. */

#include "common/record/record-lock.h"

#include <errno.h>
#include <fcntl.h>

int record_lock(int fd)
{
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        if (fcntl(fd, F_OFD_SETLK, &whole) >= 0)
                return 1;
        return errno == EAGAIN || errno == EACCES ? 0 : -errno;
}

int record_lock_test(int fd)
{
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        if (fcntl(fd, F_OFD_GETLK, &whole) < 0)
                return -errno;
        return whole.l_type == F_UNLCK;
}
