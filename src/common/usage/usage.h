/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The account of a task: every counter of the design's section 4, with where its number came from. A counter
 * without a source is unknown: it has no value, and is null on every interface. */

#include <stdbool.h>
#include <stdint.h>

#include "basic/macro.h"

typedef enum UsageSource {
        USAGE_UNKNOWN,
        USAGE_KERNEL_FINAL, /* cgroup file or BPF map, read by the keeper after exit and before removal */
        USAGE_KERNEL,       /* the same, read while the task runs */
        USAGE_RUSAGE,       /* wait4(2): what the task and the children it waited for used */
        USAGE_PROCFS,       /* /proc/PID */
        USAGE_REPORTED,     /* said by the program itself */
        _USAGE_SOURCE_MAX,
        _USAGE_SOURCE_INVALID = -22,
} UsageSource;

/* What a number is, for those who print it. */
typedef enum UsageKind {
        USAGE_KIND_USEC,
        USAGE_KIND_BYTES,
        USAGE_KIND_COUNT,
} UsageKind;

/* X(ENUM, column and JSON name, kind, is it a total that only grows (1) or a level or peak (0), text) */
#define USAGE_FIELDS(X)                                                                                   \
        X(CPU, "cpu_usec", USEC, 1, "CPU time")                                                           \
        X(CPU_USER, "cpu_user_usec", USEC, 1, "CPU time in user mode")                                    \
        X(CPU_SYSTEM, "cpu_system_usec", USEC, 1, "CPU time in the kernel")                               \
        X(CPU_THROTTLED, "cpu_throttled_usec", USEC, 1, "time kept off the CPU by CPUQuota")              \
        X(CPU_NR_THROTTLED, "cpu_nr_throttled", COUNT, 1, "periods in which CPUQuota was reached")        \
        X(MEMORY_CURRENT, "memory_current_bytes", BYTES, 0, "memory now")                                 \
        X(MEMORY_PEAK, "memory_peak_bytes", BYTES, 0, "most memory at any moment")                        \
        X(MEMORY_ANON_PEAK, "memory_anon_peak_bytes", BYTES, 0, "most anonymous memory seen in a sample") \
        X(MEMORY_SWAP_PEAK, "memory_swap_peak_bytes", BYTES, 0, "most swap at any moment")                \
        X(OOM_KILLS, "oom_kills", COUNT, 1, "processes killed for want of memory")                        \
        X(IO_READ, "io_read_bytes", BYTES, 1, "read from devices")                                        \
        X(IO_WRITE, "io_write_bytes", BYTES, 1, "written to devices by the end")                          \
        X(IO_READ_OPS, "io_read_ops", COUNT, 1, "read operations")                                        \
        X(IO_WRITE_OPS, "io_write_ops", COUNT, 1, "write operations")                                     \
        X(PSI_CPU_SOME, "psi_cpu_some_usec", USEC, 1, "some process waited for the CPU")                  \
        X(PSI_CPU_FULL, "psi_cpu_full_usec", USEC, 1, "all processes waited for the CPU")                 \
        X(PSI_MEMORY_SOME, "psi_memory_some_usec", USEC, 1, "some process waited for memory")             \
        X(PSI_MEMORY_FULL, "psi_memory_full_usec", USEC, 1, "all processes waited for memory")            \
        X(PSI_IO_SOME, "psi_io_some_usec", USEC, 1, "some process waited for a device")                   \
        X(PSI_IO_FULL, "psi_io_full_usec", USEC, 1, "all processes waited for a device")                  \
        X(PIDS_PEAK, "pids_peak", COUNT, 0, "most processes and threads at any moment")                   \
        X(PIDS_CURRENT, "pids_current", COUNT, 0, "processes and threads now")                            \
        X(NET_RX, "net_rx_bytes", BYTES, 1, "received from the network")                                  \
        X(NET_TX, "net_tx_bytes", BYTES, 1, "sent to the network")                                        \
        X(NET_RX_PACKETS, "net_rx_packets", COUNT, 1, "packets received")                                 \
        X(NET_TX_PACKETS, "net_tx_packets", COUNT, 1, "packets sent")                                     \
        X(NET_LOOPBACK_RX, "net_loopback_rx_bytes", BYTES, 1, "received over loopback")                   \
        X(NET_LOOPBACK_TX, "net_loopback_tx_bytes", BYTES, 1, "sent over loopback")                       \
        X(STORAGE_DELTA, "storage_delta_bytes", BYTES, 0, "more on disk than before; below 0: less")

typedef enum UsageField {
#define X(ENUM, name, kind, total, text) USAGE_##ENUM,
        USAGE_FIELDS(X)
#undef X
                        _USAGE_FIELD_MAX,
        _USAGE_FIELD_INVALID = -22,
} UsageField;

typedef struct UsageFieldInfo {
        const char *name;
        UsageKind kind;
        bool total;
        const char *text;
} UsageFieldInfo;

typedef struct Usage {
        int64_t value[_USAGE_FIELD_MAX]; /* valid where source is not USAGE_UNKNOWN; only STORAGE_DELTA may be below 0 */
        uint8_t source[_USAGE_FIELD_MAX]; /* UsageSource */
} Usage;

static inline bool usage_has(const Usage *u, UsageField f)
{
        return u->source[f] != USAGE_UNKNOWN;
}

/* Sets a value; values above INT64_MAX are kept as INT64_MAX. */
static inline void usage_set(Usage *u, UsageField f, uint64_t value, UsageSource source)
{
        u->value[f] = value > INT64_MAX ? INT64_MAX : (int64_t)value;
        u->source[f] = (uint8_t)source;
}

/* Makes a value unknown. */
static inline void usage_clear(Usage *u, UsageField f)
{
        u->value[f] = 0;
        u->source[f] = USAGE_UNKNOWN;
}

/* Never NULL for a field below _USAGE_FIELD_MAX. */
const UsageFieldInfo *usage_field_info(UsageField f);
/* By column name; _USAGE_FIELD_INVALID if there is none. */
UsageField usage_field_from_name(const char *name);
/* "" for USAGE_UNKNOWN, "kernel-final", "kernel", "rusage", "procfs", "reported". */
const char *usage_source_name(UsageSource s);
/* The reverse; _USAGE_SOURCE_INVALID if there is none ("" is USAGE_UNKNOWN). */
UsageSource usage_source_from_name(const char *name);

/* Fills what `u` does not know from `other`, field by field: the fall-back. */
void usage_fill(Usage *u, const Usage *other);

/* The readers of counter files. Each takes the text of one file as read (NUL-terminated), parses defensively
 * (unknown keys and malformed lines are skipped) and sets the fields it finds, with the given source.
 * `file` is "cpu.stat", "memory.current", "memory.peak", "memory.swap.peak", "memory.events", "memory.stat",
 * "io.stat", "pids.current", "pids.peak", "cpu.pressure", "memory.pressure", "io.pressure", or "net.stat", in which
 * the keeper writes down what the kernel counted by BPF (common/net/net.h).
 * Returns 1 if the file is one of these, 0 if it is not. A field that the text does not have stays as it is.
 *
 * MEMORY_ANON_PEAK is set to the anonymous memory of this reading: keeping the largest is the sampler's. IO fields
 * are sums over devices, as usage_parse_io_stat() makes them with the sysfs of this host. */
int usage_parse_file(Usage *u, const char *file, const char *text, UsageSource source);

/* io.stat, with sysfs mounted at `sysfs` ("/sys"). The kernel charges an I/O through device-mapper, md or a loop
 * device once for each layer, a line each; so a device that is stacked (through any number of layers) on another
 * device of the same text does not count. What stands on what is looked up only when more than one device has
 * I/O; a device that sysfs does not know counts. */
void usage_parse_io_stat(Usage *u, const char *text, const char *sysfs, UsageSource source);
