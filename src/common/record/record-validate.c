/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Is this a record, and one that may be acted upon?
 *
 * Only root writes records, so this is not a border of trust; it is the check that a wrong version, a half-written
 * file, a stray file or a broken disk under a bind mount does not make reeved store nonsense or make the launcher,
 * which is root, signal pid -1 or remove a cgroup above its own. Hence what is looked at: everything that is used
 * as an array (strings end, files stay in bounds), as a name (id, cgroup), as a number that indexes (enums), or as
 * a target (pids).
 *
 * Each phase is checked for the fields that it promises; the phase is loaded once, with acquire order, before
 * anything else. Not checked: whether times, uids and counters are plausible. */

#include "common/record/record.h"

#include <errno.h>
#include <string.h>

#include "basic/strings.h"

static bool is_terminated(const char *text, size_t size)
{
        return memchr(text, '\0', size) != NULL;
}

/* A relative path that stays where it is: no empty component, no "." and no "..". "" is fine. */
static bool cgroup_is_safe(const char *path)
{
        if (path[0] == '\0')
                return true;
        for (;;) {
                size_t n = strcspn(path, "/");
                if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && memcmp(path, "..", 2) == 0))
                        return false;
                if (path[n] == '\0')
                        return true;
                path += n + 1;
        }
}

static bool claimed_is_sound(const Record *r, const char *name)
{
        char expected[TASK_ATTEMPT_NAME_SIZE];

        if (!is_terminated(r->task_id, sizeof(r->task_id)) || !task_id_is_valid(r->task_id))
                return false;
        if (r->attempt < 1 || r->attempt > TASK_ATTEMPT_MAX)
                return false;
        if (!streq(task_attempt_name(r->task_id, r->attempt, expected), name))
                return false;
        return r->backend < _RECORD_BACKEND_MAX && is_terminated(r->cgroup, sizeof(r->cgroup)) &&
               cgroup_is_safe(r->cgroup);
}

/* The files fill exactly the length that is said, and are text. */
static bool files_are_sound(const Record *r)
{
        size_t cursor = 0, name_length, text_length;
        const char *file, *text;

        if (r->files_length > RECORD_FILES_SIZE)
                return false;
        while (record_next_file(r, &cursor, &file, &name_length, &text, &text_length) > 0)
                if (memchr(file, '\0', name_length) || memchr(text, '\0', text_length))
                        return false;
        return cursor == r->files_length;
}

static bool ended_is_sound(const Record *r)
{
        return r->exit_kind < _RECORD_EXIT_MAX && is_terminated(r->exec_path, sizeof(r->exec_path)) &&
               r->keeper_pid >= 0 && r->task_pid >= 0 && files_are_sound(r);
}

int record_validate(const void *data, size_t size, const char *name)
{
        const Record *r = data;

        assert(data || size == 0);
        assert(name);

        if (size != RECORD_SIZE)
                return size == 0 ? -EAGAIN : -EBADMSG; /* 0: created, not yet allocated */

        RecordPhase phase = record_phase(r);
        bool is_ours = memcmp(r->magic, RECORD_MAGIC, sizeof(r->magic)) == 0;
        if (phase == RECORD_NEW && (is_ours || r->magic[0] == '\0'))
                return -EAGAIN;
        if (!is_ours || r->version != RECORD_VERSION || r->size != RECORD_SIZE)
                return -EBADMSG;

        switch (phase) {
        case RECORD_CLAIMED:
                return claimed_is_sound(r, name) ? 0 : -EBADMSG;
        case RECORD_STARTED:
                return claimed_is_sound(r, name) && r->keeper_pid > 0 && r->task_pid > 0 ? 0 : -EBADMSG;
        case RECORD_ENDED:
                return claimed_is_sound(r, name) && ended_is_sound(r) ? 0 : -EBADMSG;
        case RECORD_NEW:
        case _RECORD_PHASE_MAX:
        default:
                return -EBADMSG;
        }
}
