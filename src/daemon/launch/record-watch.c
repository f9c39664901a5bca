/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One inotify watch on the directory, for IN_CLOSE_WRITE alone: writes through a mapping raise nothing, and the keeper's
 * exit closes the one description that launcher, keeper and child shared. The queue of inotify is bounded (16,384 by
 * default); when it overflows the kernel says so, and a scan replaces the events.
 *
 * sd-event reads inotify for us in one buffer per wake-up and calls back once per event. */

#include "daemon/launch/record-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>

#include "basic/fd.h"

struct RecordWatch {
        int dir_fd;
        sd_event_source *source;
        record_closed_t callback;
        void *userdata;
};

static int on_inotify(sd_event_source *s, const struct inotify_event *event, void *userdata)
{
        RecordWatch *w = ASSERT_PTR(userdata);

        if (event->mask & IN_Q_OVERFLOW)
                w->callback(NULL, w->userdata);
        else if ((event->mask & IN_CLOSE_WRITE) && event->len > 0)
                w->callback(event->name, w->userdata);
        return 0;
}

int record_watch_new(sd_event *event, const char *path, record_closed_t callback, void *userdata,
                     RecordWatch **ret, ReeveError *reterr)
{
        assert(event);
        assert(path);
        assert(callback);
        assert(ret);

        _cleanup_(record_watch_freep) RecordWatch *w = NEW0(RecordWatch, 1);
        if (!w)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot watch the records");
        w->callback = callback;
        w->userdata = userdata;

        w->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (w->dir_fd < 0)
                return reeve_error_errno(reterr, errno, path, "cannot open the records %s", path);
        int r = sd_event_add_inotify(event, &w->source, path, IN_CLOSE_WRITE | IN_ONLYDIR, on_inotify, w);
        if (r < 0)
                return reeve_error_errno(reterr, r, path, "cannot watch the records %s", path);
        *ret = TAKE_PTR(w);
        return 0;
}

RecordWatch *record_watch_free(RecordWatch *w)
{
        if (!w)
                return NULL;
        sd_event_source_disable_unref(w->source);
        fd_close(w->dir_fd);
        free(w);
        return NULL;
}

int record_watch_dir_fd(const RecordWatch *w)
{
        assert(w);
        return w->dir_fd;
}
