/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The sealed specification: what its author wants to be run, in the author's own hand.
 *
 * libreeve writes it into a memfd named "reeve-spec", seals it (no write, grow, shrink, nor further seals) and
 * passes the descriptor; reeved and the launcher read it. The kernel attests by fstat().st_uid who made the memfd,
 * and by the seals that nobody changed it since.
 *
 * Form: fields "key=value", each terminated by NUL, in the order below; the first is "reeve-spec=1".
 * Values are bytes without NUL. At most 2 MiB.
 *
 *     reeve-spec=1            task=ID                attempts=N (1 to 1000)
 *     uid=N                   gid=N                  groups=N,N,... ("" or absent: from the user database)
 *     cwd=/absolute/path      umask=0022             nice=N          oom-score-adjust=N
 *     rlimit=NAME:SOFT:HARD*  (NAME as in "NOFILE"; numbers or "infinity")
 *     stdio=N:KIND*           three of them, N = 0, 1, 2; KIND is "null", "output" (1 and 2: the task's output
 *                             file), "journal" (1 and 2: a stream to journald, with the task's id as identifier),
 *                             or "fd:DEV:INO:RDEV" (decimal) for a passed descriptor: the k-th "fd" entry
 *                             is the k-th descriptor beside the message
 *     tty=1                   optional: descriptor 0 is a terminal to be made the controlling one
 *     limit=NAME:VALUE*       systemd names, "MemoryMax:536870912"; canonical values (bytes, permyriad of a CPU for
 *                             CPUQuota, weights, counts)
 *     property=NAME:VALUE*    what only systemd has, for backend scope; canonical (common/unit-property); repeats add up
 *     slice=NAME              optional: where the scope is to be
 *     grace=USEC              optional
 *     attach=PID:START:BOOT[:children]     optional: nothing is executed, this running process becomes the task (with
 *                             the processes below it); field 22 of its /proc/PID/stat, and the boot id of the host
 *     env=NAME=VALUE*         arg=VALUE+             verify=COMMAND* (each a NUL-free shell-less "a\x1fb" list)
 *
 * (* any number up to SPEC_*_MAX, + at least one). Keys without a remark are required. groups, oom-score-adjust, tty,
 * slice and grace may be absent. The stdio entries come in the order 0, 1, 2; tty wants a passed descriptor 0; no name
 * of an rlimit or limit comes twice, but for limits "NAME:MAJ:MIN VALUE" of different devices.
 * With attach, uid and gid are those that the process has, arg is its command line as people are to see it, and what is
 * about executing or about units must not be given: one attempt, three times "null", no groups, oom-score-adjust, rlimit,
 * tty, property, slice or env; cwd, umask and nice mean nothing. Unknown keys, wrong order, repeats of what is single: not a specification. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "basic/error.h"
#include "basic/time.h"

#define SPEC_MEMFD_NAME     "reeve-spec"
#define SPEC_SIZE_MAX       (2U * 1024 * 1024)
#define SPEC_ARGS_MAX       65536
#define SPEC_ENV_MAX        65536
#define SPEC_GROUPS_MAX     1024
#define SPEC_LIMITS_MAX     64
#define SPEC_PROPERTIES_MAX 64
#define SPEC_VERIFY_MAX     64
#define SPEC_STDIO_COUNT    3

/* Where journald takes the streams of stdio kind "journal". */
#define SPEC_JOURNAL_SOCKET "/run/systemd/journal/stdout"

typedef enum SpecStdioKind {
        SPEC_STDIO_NULL,
        SPEC_STDIO_OUTPUT,
        SPEC_STDIO_FD,
        SPEC_STDIO_JOURNAL,
} SpecStdioKind;

typedef struct SpecStdio {
        SpecStdioKind kind;
        uint64_t dev, ino, rdev; /* of a passed descriptor, as fstat(2) gives them */
} SpecStdio;

typedef struct SpecRlimit {
        bool set;
        uint64_t soft, hard; /* RLIM_INFINITY is UINT64_MAX */
} SpecRlimit;

typedef struct SpecLimit {
        const char *name;  /* after spec_parse(): in limit_names */
        const char *value; /* borrowed from the text; canonical */
} SpecLimit;

/* A process that runs already. */
typedef struct SpecAttach {
        pid_t pid; /* 0: there is none, argv is to be executed */
        uint64_t start;
        uint8_t boot_id[16];
        bool children;
} SpecAttach;

/* A parsed specification. Strings point into the text that was parsed, which must live as long; the arrays are
 * owned and freed by spec_done(). */
typedef struct Spec {
        const char *task_id;
        unsigned attempts;
        uid_t uid;
        gid_t gid;
        bool has_groups;
        gid_t *groups;
        size_t n_groups;
        const char *cwd;
        mode_t umask;
        int nice;
        bool has_oom_score_adjust;
        int oom_score_adjust;
        SpecRlimit rlimits[RLIM_NLIMITS];
        SpecStdio stdio[SPEC_STDIO_COUNT];
        bool tty;
        SpecLimit limits[SPEC_LIMITS_MAX];
        size_t n_limits;
        SpecLimit properties[SPEC_PROPERTIES_MAX]; /* of the scope */
        size_t n_properties;
        char *limit_names; /* owned, of both; NULL in a Spec that was not parsed: its names are borrowed */
        const char *slice; /* borrowed; NULL: not given */
        usec_t grace_usec; /* USEC_INFINITY: not given */
        SpecAttach attach;
        char **env; /* NULL-terminated arrays of borrowed strings */
        char **argv;
        size_t n_env, n_argv;
        const char **verify; /* NULL-terminated, borrowed strings */
        size_t n_verify;
} Spec;

/* Parses `size` bytes (the last must be NUL). InvalidArgument and LimitExceeded name the key, or "spec" for what
 * concerns the whole. No text of the input gets into the error. Unavailable: out of memory. The Spec is empty on
 * failure. */
int spec_parse(Spec *s, const char *text, size_t size, ReeveError *reterr);
/* Whether it wants what only a scope has. */
bool spec_wants_scope(const Spec *s);

/* Frees the arrays of a Spec that spec_parse() filled (or failed to), and leaves it empty. */
void spec_done(Spec *s);

/* Serialises; the result (caller frees) parses to an equal Spec. What spec_parse() would refuse is refused here,
 * with the same error; so is has_groups without a group, which the form cannot say. */
int spec_format(const Spec *s, char **ret, size_t *ret_size, ReeveError *reterr);

/* Makes the sealed memfd (close-on-exec). LimitExceeded if `size` is above SPEC_SIZE_MAX; the text is not parsed. */
int spec_seal(const char *text, size_t size, int *ret_fd, ReeveError *reterr);

/* Checks that fd is a sealed memfd with our name and at most SPEC_SIZE_MAX bytes; gives its author and a private
 * copy of its bytes (caller frees; a NUL follows behind *ret_size). The file offset is not used and not moved.
 * InvalidArgument "spec" for any other descriptor. Used by reeved and by the launcher, each for itself. */
int spec_open(int fd, uid_t *ret_author, char **ret_text, size_t *ret_size, ReeveError *reterr);

/* Names of resource limits: "NOFILE" -> RLIMIT_NOFILE; -EINVAL. NULL for a number without a name. */
int spec_rlimit_from_name(const char *name);
const char *spec_rlimit_name(int resource);

/* Fills a stdio entry from a descriptor: kind FD. 0 or a negative errno of fstat(2). */
int spec_stdio_from_fd(SpecStdio *s, int fd);
/* 1 if fd is what the entry says, 0 if not (or if the entry is not of kind FD), negative errno of fstat(2). */
int spec_stdio_matches(const SpecStdio *s, int fd);
