/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An export: the entries' very bytes, one after the other, an empty line, a checkpoint. The file is mapped, and where each
 * entry begins is noted in one pass, by counting lines; so that hashing can be shared by threads. */

#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "basic/fd.h"
#include "cli/log-check.h"
#include "common/tlog/log-entry.h"

typedef struct ExportSource {
        LogSource source;
        const char *text;
        size_t length;
        size_t *begins; /* of entries, and the end of the last one */
        char note[CHECKPOINT_TEXT_MAX];
        uint64_t note_size;
} ExportSource;

typedef struct LogSourceReader {
        const ExportSource *source;
} ExportReader;

static int open_reader(LogSource *s, ExportReader **ret, ReeveError *reterr)
{
        *ret = NEW0(ExportReader, 1);
        if (!*ret)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot read the log");
        (*ret)->source = container_of(s, ExportSource, source);
        return 0;
}

static void close_reader(ExportReader *r)
{
        free(r);
}

static int hash_block(ExportReader *r, uint64_t from, unsigned n, TlogHash *ret, ReeveError *reterr)
{
        const ExportSource *x = r->source;

        for (uint64_t i = from; i < from + n; i++)
                tlog_leaf_hash(x->text + x->begins[i], x->begins[i + 1] - x->begins[i], ret + (i - from));
        return 0;
}

static int next_checkpoint(ExportReader *r, uint64_t size, uint64_t *ret_size, const char **ret_note,
                           ReeveError *reterr)
{
        if (!r->source->note[0] || r->source->note_size <= size)
                return 0;
        *ret_size = r->source->note_size;
        *ret_note = r->source->note;
        return 1;
}

static int stored_hash(ExportReader *r, unsigned level, uint64_t index, TlogHash *ret, ReeveError *reterr)
{
        return 0;
}

static void close_source(LogSource *s)
{
        ExportSource *x = container_of(s, ExportSource, source);

        if (x->text)
                munmap((void *)x->text, x->length);
        free(x->begins);
        free(x);
}

static const LogSourceClass export_class = {
        .open_reader = open_reader,
        .close_reader = close_reader,
        .hash = hash_block,
        .next_checkpoint = next_checkpoint,
        .stored_hash = stored_hash,
        .close = close_source,
};

/* The end of the lines of one entry that begins at `at`; 0: it is none. */
static size_t entry_end(const ExportSource *x, size_t at)
{
        size_t head = strlen(LOG_ENTRY_HEAD);

        if (x->length - at < head || memcmp(x->text + at, LOG_ENTRY_HEAD, head) != 0)
                return 0;
        for (int line = 0; line < LOG_ENTRY_LINES; line++) {
                const char *end = memchr(x->text + at, '\n', x->length - at);
                if (!end)
                        return 0;
                at = (size_t)(end - x->text) + 1;
        }
        return at;
}

static int bad_export(const ExportSource *x, const char *what, ReeveError *reterr)
{
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "export", "after entry %" PRIu64 ": %s",
                               x->source.size, what);
}

static int index_entries(ExportSource *x, size_t *ret_end, ReeveError *reterr)
{
        size_t room = 0, at = 0, end;

        for (;;) {
                if (x->source.size + 1 >= room) {
                        room = MAX(2 * room, (size_t)4096);
                        size_t *bigger = reallocarray(x->begins, room, sizeof(*bigger));
                        if (!bigger)
                                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot read the log");
                        x->begins = bigger;
                }
                x->begins[x->source.size] = at;
                if (at == x->length || x->text[at] == '\n') {
                        *ret_end = at;
                        return 0;
                }
                end = entry_end(x, at);
                if (end == 0)
                        return bad_export(x, "what follows is neither an entry nor the end", reterr);
                at = end;
                x->source.size++;
        }
}

/* Behind the empty line. It covers all entries; log_check() sees whether it says so too. */
static int read_note(ExportSource *x, size_t at, ReeveError *reterr)
{
        if (at == x->length)
                return bad_export(x, "the export ends without a checkpoint: it was cut off", reterr);
        size_t n = x->length - ++at;
        if (n == 0 || n >= sizeof(x->note))
                return bad_export(x, "the checkpoint is missing", reterr);
        memcpy(x->note, x->text + at, n);
        x->note_size = x->source.size;
        return 0;
}

static int map(ExportSource *x, const char *path, ReeveError *reterr)
{
        struct stat st;

        _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return reeve_error_errno(reterr, errno, path, "cannot read %s", path);
        if (!S_ISREG(st.st_mode) || st.st_size == 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, path, "%s is not an export",
                                       path);
        void *text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (text == MAP_FAILED)
                return reeve_error_errno(reterr, errno, path, "cannot map %s", path);
        x->text = text;
        x->length = (size_t)st.st_size;
        return 0;
}

int log_source_open_export(const char *path, LogSource **ret, ReeveError *reterr)
{
        size_t end = 0;

        assert(path);
        assert(ret);

        ExportSource *x = NEW0(ExportSource, 1);
        if (!x)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot read the log");
        x->source.class = &export_class;
        int r = map(x, path, reterr);
        if (r >= 0)
                r = index_entries(x, &end, reterr);
        if (r >= 0)
                r = read_note(x, end, reterr);
        if (r < 0) {
                close_source(&x->source);
                return r;
        }
        *ret = &x->source;
        return 0;
}
