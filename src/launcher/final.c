/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The last processes are reaped, yet on kernels before 6.12 the last slice of their run may be booked a moment later
 * (measured on 6.1: up to 20 ms). There the counters that move are read again, after a pause, until two reads agree.
 * On later ones, what is read after the last process was reaped is final (0 of 300 moved), and one read is enough.
 * Files of controllers that the leaf does not have are not even looked for. */

#include "launcher/final.h"

#include <string.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "common/cgroup/cgroup.h"

#define READS_MAX 6

static bool exists_here(const Keeper *k, const CgroupFile *f)
{
        return f->controller < 0 || (k->controllers & (UINT32_C(1) << f->controller));
}

static void read_all(const Keeper *k)
{
        static char text[RECORD_FILES_SIZE];

        record_clear_files(k->record);
        for (size_t i = 0; i < n_cgroup_files; i++) {
                if (!exists_here(k, cgroup_files + i))
                        continue;
                ssize_t n = fd_read_file_at(k->leaf_fd, cgroup_files[i].name, text, sizeof(text));
                if (n >= 0)
                        (void)record_add_file(k->record, cgroup_files[i].name, text, (size_t)n);
                else if (n == -E2BIG)
                        record_set_flag(k->record, RECORD_FLAG_TRUNCATED);
        }
}

/* Is what the record holds of this file still what the file says? */
static bool agrees(const Keeper *k, const char *file)
{
        static char text[RECORD_FILES_SIZE];
        const char *name, *stored;
        size_t cursor = 0, name_length, length;

        while (record_next_file(k->record, &cursor, &name, &name_length, &stored, &length) > 0) {
                if (name_length != strlen(file) || memcmp(name, file, name_length) != 0)
                        continue;
                ssize_t n = fd_read_file_at(k->leaf_fd, file, text, sizeof(text));
                return n < 0 || ((size_t)n == length && memcmp(text, stored, length) == 0);
        }
        return true;
}

void final_read(const Keeper *k)
{
        struct timespec pause = usec_to_timespec(k->settle_usec);

        for (unsigned i = 0; i < READS_MAX; i++) {
                read_all(k);
                if (k->settle_usec == 0)
                        return;
                nanosleep(&pause, NULL);
                if (agrees(k, "cpu.stat") && agrees(k, "io.stat"))
                        return;
        }
}
