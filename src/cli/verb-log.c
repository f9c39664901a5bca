/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve log show|verify|prove|checkpoint|key|export.
 *
 * What proves something is checked here and not believed: a proof is followed to the checkpoint, and the checkpoint's signature
 * is checked with the key, before anything is said to be proved. Which key that is is for the user to say (--key=): the
 * registry's own answer is enough against accidents only. */

#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "basic/time.h"
#include "cli/base64.h"
#include "cli/log-check.h"
#include "cli/log-export.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "cli/value.h"
#include "cli/verb.h"
#include "common/json/json.h"
#include "common/tlog/log-entry.h"

#define SHOWN_DEFAULT 50
#define FILE_MAX      4096 /* of keys and checkpoints */

typedef struct LogOptions {
        CommonOptions common;
        const char *key, *checkpoint, *action;
        OptionalNumber limit;
} LogOptions;

#define LOG_OPTION(field) offsetof(LogOptions, field)

static const Option log_options[] = {
        { "key", 0, "KEY", "The public key (or a file with it) that checkpoints must be signed with",
          OPTION_STRING, LOG_OPTION(key) },
        { "checkpoint", 0, "FILE", "Verify also that the log contains all of this older checkpoint",
          OPTION_STRING, LOG_OPTION(checkpoint) },
        { "action", 0, "PATTERN", "Show only entries of such actions, as task_*", OPTION_STRING,
          LOG_OPTION(action) },
        { "limit", 'n', "NUMBER", "Show so many entries (default: 50)", OPTION_PARSED, LOG_OPTION(limit),
          parse_positive },
        COMMON_OPTIONS(LogOptions),
};

/* ---- keys and files ---- */

static int read_text(const char *path, char ret[static FILE_MAX], ReeveError *reterr)
{
        _cleanup_fd_ int fd = streq(path, "-") ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -errno : fd_read_full(fd, ret, FILE_MAX - 1);

        if (n < 0)
                return reeve_error_errno(reterr, (int)n, path, "cannot read %s", path);
        ret[n] = '\0';
        return 0;
}

/* 1: there is a key; 0: none was given. */
static int read_key(const LogOptions *o, CheckpointKey *ret, ReeveError *reterr)
{
        char text[FILE_MAX];

        if (!o->key)
                return 0;
        if (strchr(o->key, '+'))
                snprintf(text, sizeof(text), "%s", o->key);
        else {
                int r = read_text(o->key, text, reterr);
                if (r < 0)
                        return r;
        }
        text[strcspn(text, "\r\n")] = '\0';
        int r = checkpoint_key_parse(text, ret, reterr);
        return r < 0 ? r : 1;
}

static void hash_text(const TlogHash *h, char ret[static 48])
{
        sodium_bin2base64(ret, 48, h->bytes, TLOG_HASH_SIZE, sodium_base64_VARIANT_ORIGINAL);
}

/* ---- show ---- */

static void print_entry(const json_t *entry)
{
        char when[64];

        usec_format_realtime((usec_t)json_get_integer(entry, "timestamp", 0), when, sizeof(when));
        printf("%8" PRId64 "  %s  %-20s %s\n", json_get_integer(entry, "entry", 0), when,
               json_get_string(entry, "action") ?: "?", json_get_string(entry, "task_id") ?: "");
}

static int show(const char **args, size_t n_args, const LogOptions *o)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_json_ json_t *reply = NULL;
        uint64_t limit = o->limit.set ? o->limit.value : SHOWN_DEFAULT;

        int status = session_connect(&c);
        if (status == 0)
                status = session_call(c, "Log",
                                      json_pack("{ss* ss* sI}", "task_id", n_args > 0 ? args[0] : NULL,
                                                "action", o->action, "limit",
                                                (json_int_t)MIN(limit, (uint64_t)INT64_MAX)),
                                      &reply);
        if (status != 0)
                return status;
        if (o->common.json != JSON_MODE_OFF)
                return json_print(o->common.json, reply);
        const json_t *entries = json_object_get(reply, "entries");
        pager_open(true);
        for (size_t i = 0; i < json_array_size(entries); i++)
                print_entry(json_array_get(entries, i));
        pager_close();
        return 0;
}

/* ---- checkpoint, key ---- */

static int fetch(const LogOptions *o, ReeveConnection **ret_c, char note[static CHECKPOINT_TEXT_MAX],
                 CheckpointKey *ret_key, Checkpoint *ret)
{
        ReeveError e = REEVE_ERROR_NULL;
        CheckpointKey expected;

        int given = read_key(o, &expected, &e);
        if (given < 0)
                return session_error(&e);
        int status = session_connect(ret_c);
        if (status != 0)
                return status;
        if (log_fetch_checkpoint(*ret_c, note, ret_key, ret, &e) < 0)
                return session_error(&e);
        if (given > 0) {
                *ret_key = expected;
                if (checkpoint_open(note, ret_key, ret, &e) < 0)
                        return session_error(&e);
        }
        return 0;
}

static int checkpoint(const char **args, size_t n_args, const LogOptions *o)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        char note[CHECKPOINT_TEXT_MAX], root[48];
        CheckpointKey key;
        Checkpoint at;

        int status = fetch(o, &c, note, &key, &at);
        if (status != 0)
                return status;
        if (o->common.json != JSON_MODE_OFF) {
                hash_text(&at.root, root);
                _cleanup_json_ json_t *j = json_pack("{ss sI ss ss}", "origin", at.origin, "entries",
                                                     (json_int_t)at.size, "root", root, "note", note);
                return json_print(o->common.json, j);
        }
        return fputs(note, stdout) == EOF;
}

static int key(const char **args, size_t n_args, const LogOptions *o)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        char note[CHECKPOINT_TEXT_MAX], text[CHECKPOINT_KEY_MAX];
        CheckpointKey k;
        Checkpoint at;

        int status = fetch(o, &c, note, &k, &at);
        if (status != 0)
                return status;
        checkpoint_key_format(&k, text);
        if (o->common.json != JSON_MODE_OFF) {
                _cleanup_json_ json_t *j = json_pack("{ss}", "key", text);
                return json_print(o->common.json, j);
        }
        return puts(text) == EOF;
}

/* ---- export ---- */

static int export_to(ReeveConnection *c, FILE *to)
{
        ReeveError e = REEVE_ERROR_NULL;
        CheckpointKey k;

        return log_export(c, to, &k, &e) < 0 ? session_error(&e) : 0;
}

static int export(const char **args, size_t n_args, const LogOptions *o)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;

        int status = session_connect(&c);
        if (status != 0)
                return status;
        if (n_args == 0 || streq(args[0], "-"))
                return export_to(c, stdout);
        int fd = open(args[0], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
        if (!f) {
                fprintf(stderr, "reeve: %s: %m\n", args[0]);
                return EX_CANTCREAT;
        }
        status = export_to(c, f);
        if (fclose(f) == EOF && status == 0) {
                fprintf(stderr, "reeve: %s: %m\n", args[0]);
                status = EX_IOERR;
        }
        if (status != 0)
                (void)unlink(args[0]);
        return status;
}

/* ---- verify ---- */

static int report(const LogOptions *o, const LogCheck *check)
{
        bool ok = check->problem.code == REEVE_ERROR_NONE;
        char root[48];

        hash_text(&check->root, root);
        if (o->common.json != JSON_MODE_OFF) {
                _cleanup_json_ json_t *j = json_pack(
                                "{sb sI sI sI ss* ss* ss*}", "ok", ok, "entries", (json_int_t)check->entries,
                                "checkpoints", (json_int_t)check->checkpoints, "signed_entries",
                                (json_int_t)check->signed_entries, "root", ok ? root : NULL, "signed_by",
                                check->key ? check->key->name : NULL, "problem",
                                ok ? NULL : check->problem.text);
                int status = json_print(o->common.json, j);
                return status ?: ok ? 0 : 1;
        }
        if (!ok) {
                fprintf(stderr, "reeve: %s\n", check->problem.text);
                return 1;
        }
        printf("%" PRIu64 " entries are whole, root %s\n", check->entries, root);
        if (check->key)
                printf("%" PRIu64 " checkpoint%s of %s, the last at %" PRIu64 " entries%s\n",
                       check->checkpoints, check->checkpoints == 1 ? "" : "s", check->key->name,
                       check->signed_entries, check->older ? "; the older one is contained" : "");
        else
                printf("no key was given: that they are whole, not who wrote them, is all that was "
                       "checked\n");
        return 0;
}

static int is_database(const char *path, ReeveError *reterr)
{
        char head[16] = "";

        _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -errno : fd_read_full(fd, head, sizeof(head));
        return n < 0 ? reeve_error_errno(reterr, (int)n, path, "cannot read %s", path)
                     : memcmp(head, "SQLite format 3", sizeof(head)) == 0;
}

static int verify_file(const LogOptions *o, const char *path, LogCheck *check)
{
        _cleanup_(log_source_closep) LogSource *source = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        int r = is_database(path, &e);
        if (r >= 0)
                r = r ? log_source_open_database(path, &source, &e)
                      : log_source_open_export(path, &source, &e);
        if (r >= 0)
                r = log_check(source, check, &e);
        return r < 0 ? session_error(&e) : report(o, check);
}

/* What a running registry has, by way of an export in memory: the same code, and no right that others do not have. */
static int verify_running(const LogOptions *o, LogCheck *check, CheckpointKey *key)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        CheckpointKey told;
        char path[64];

        int status = session_connect(&c);
        if (status != 0)
                return status;
        _cleanup_fd_ int fd = memfd_create("reeve-log", MFD_CLOEXEC);
        int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
        FILE *f = copy < 0 ? NULL : fdopen(copy, "w");
        if (!f) {
                reeve_error_errno(&e, errno, NULL, "cannot take the log in");
                return session_error(&e);
        }
        int r = log_export(c, f, &told, &e);
        fclose(f);
        if (r < 0)
                return session_error(&e);
        if (!check->key) {
                *key = told;
                check->key = key;
        }
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return verify_file(o, path, check);
}

static int verify(const char **args, size_t n_args, const LogOptions *o)
{
        ReeveError e = REEVE_ERROR_NULL;
        LogCheck check = { 0 };
        char older[FILE_MAX];
        CheckpointKey k;

        int r = read_key(o, &k, &e);
        if (r > 0)
                check.key = &k;
        if (r >= 0 && o->checkpoint) {
                r = read_text(o->checkpoint, older, &e);
                check.older = older;
        }
        if (r < 0)
                return session_error(&e);
        return n_args > 0 ? verify_file(o, args[0], &check) : verify_running(o, &check, &k);
}

/* ---- prove ---- */

typedef struct Proof {
        TlogHash leaf, hashes[TLOG_PROOF_MAX];
        size_t n;
        Checkpoint checkpoint;
} Proof;

static int parse_hashes(const json_t *array, Proof *p)
{
        p->n = json_array_size(array);
        if (p->n > TLOG_PROOF_MAX)
                return -E2BIG;
        for (size_t i = 0; i < p->n; i++) {
                const char *text = json_string_value(json_array_get(array, i));
                _cleanup_free_ void *bytes = NULL;
                size_t size;

                if (!text || base64_decode(text, &bytes, &size) < 0 || size != TLOG_HASH_SIZE)
                        return -EBADMSG;
                memcpy(p->hashes[i].bytes, bytes, size);
        }
        return 0;
}

static int follow(const json_t *reply, const CheckpointKey *k, uint64_t entry, ReeveError *reterr)
{
        const json_t *json = json_object_get(reply, "entry");
        LogEntry e = log_entry_from_json(json);
        Proof p;

        int r = checkpoint_open(json_get_string(reply, "note") ?: "", k, &p.checkpoint, reterr);
        if (r < 0)
                return r;
        if (log_entry_hash(&e, &p.leaf) < 0 || parse_hashes(json_object_get(reply, "hashes"), &p) < 0 ||
            !tlog_check_inclusion(&p.leaf, entry, p.checkpoint.size, p.hashes, p.n, &p.checkpoint.root))
                return reeve_error_set(reterr, REEVE_ERROR_INTERNAL, "proof",
                                       "entry %" PRIu64 " is not in the log that was signed", entry);
        return 0;
}

static int prove_entry(ReeveConnection *c, const LogOptions *o, const CheckpointKey *k, const json_t *shown)
{
        uint64_t entry = (uint64_t)json_get_integer(shown, "entry", -1);
        _cleanup_json_ json_t *reply = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        int status = session_call(c, "LogProof", json_pack("{sI}", "entry", (json_int_t)entry), &reply);
        if (status != 0)
                return status;
        if (follow(reply, k, entry, &e) < 0)
                return session_error(&e);
        if (o->common.json != JSON_MODE_OFF)
                return json_print(o->common.json, reply);
        print_entry(json_object_get(reply, "entry"));
        printf("          is in the log of %" PRId64 " entries signed by %s, by %zu hashes\n",
               json_get_integer(reply, "size", 0), k->name,
               json_array_size(json_object_get(reply, "hashes")));
        return 0;
}

static int prove(const char **args, size_t n_args, const LogOptions *o)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;
        _cleanup_json_ json_t *reply = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        char note[CHECKPOINT_TEXT_MAX];
        CheckpointKey k;
        Checkpoint at;

        if (n_args != 1) {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "prove", "which task? (its id)");
                return session_error(&e);
        }
        int status = fetch(o, &c, note, &k, &at); /* also makes a checkpoint that covers everything */
        if (status == 0)
                status = session_call(c, "Log",
                                      json_pack("{ss sI}", "task_id", args[0], "limit", (json_int_t)1000),
                                      &reply);
        if (status != 0)
                return status;
        const json_t *entries = json_object_get(reply, "entries");
        if (json_array_size(entries) == 0) {
                reeve_error_set(&e, REEVE_ERROR_NO_SUCH_TASK, "task_id",
                                "the log has no entry of this task");
                return session_error(&e);
        }
        for (size_t i = json_array_size(entries); i > 0 && status == 0; i--)
                status = prove_entry(c, o, &k, json_array_get(entries, i - 1));
        return status;
}

static const struct {
        const char *name;
        int (*handler)(const char **args, size_t n_args, const LogOptions *o);
} commands[] = {
        { "show", show }, { "verify", verify }, { "prove", prove }, { "checkpoint", checkpoint },
        { "key", key },   { "export", export },
};

static int log_main(const char **args, size_t n_args, const void *options)
{
        ReeveError e = REEVE_ERROR_NULL;

        for (size_t i = 0; i < ELEMENTSOF(commands); i++)
                if (streq(args[0], commands[i].name))
                        return commands[i].handler(args + 1, n_args - 1, options);
        reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "log",
                        "'%.40s' is none of show, verify, prove, checkpoint, key, export", args[0]);
        return session_error(&e);
}

const Verb verb_log = {
        .name = "log",
        .synopsis = "show [ID] | verify [FILE] | prove ID | checkpoint | key | export [FILE]",
        .summary = "Read the immutable log, and verify that nothing in it was changed",
        .options = OPTION_TABLE(log_options),
        .options_size = sizeof(LogOptions),
        .min_args = 1,
        .max_args = 2,
        .handler = log_main,
};
