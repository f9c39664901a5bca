/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Interface io.reeve.Launcher1, spoken peer to peer (sd-bus without a bus daemon) between reeved and the launcher
 * over a Unix stream socket. The launcher is the server; it trusts nothing that comes in.
 *
 *     Authorize   h spec -> ay ticket
 *     Launch      h spec, ay ticket, u attempt, a{sv} added, ah stdio
 *                     -> i pid, t start_ticks, t started_realtime_usec, t started_boottime_usec, s cgroup,
 *                        u net_map_id, t cgroup_id, t net_missed     (a NetRef of common/net/net.h; its map_id is 0 if
 *                                                                     network traffic of this task is not counted)
 *                 answers when exec succeeded or failed. `added` is all that reeved may add:
 *                     backend s            "cgroup", "scope" or "process" ("" : the best that the host has)
 *                     subsystem s          names the slice of backend scope, which needs it
 *                     limits a(ss)         (name, canonical value); only what restricts further
 *                     environment as       "REEVE_...=..." only
 *                     deadline t           backstop, CLOCK_BOOTTIME usec
 *                     grace t              usec
 *                     output_cap t         bytes
 *                     priority u           1 to 10, 5 if absent: cpu.weight and io.weight among the tasks of one uid
 *     Check       h spec, ay ticket, u attempt, a{sv} added, ah stdin, s name, u authored, as argv -> as Launch
 *                 runs a program beside a task whose attempt was started: as its user, in its directory, under its limits.
 *                 `name` ("<any>-check<n>") and attempt name its record and output. argv[0] is a program of root's in the
 *                 directories for checks, by path or by name, with an environment of reeved's REEVE_* and a PATH; or argv is
 *                 empty, and it is the how manieth command (1, ...) of the specification's own verify=, with the
 *                 specification's environment. stdin: nothing, or a regular file.
 *     Hook        u attempt, a{sv} added, ah stdin, s name, as argv -> as Launch
 *                 the same for root's programs in the directories for hooks, as user reeve-hook, in "/"; `name` is
 *                 "<any>-step<n>".
 *     Adopt       as Launch, for a specification with `attach`: moves that process into a cgroup of its own; without stdio
 *     Signal      s task, u attempt, i signal, b whole     (main process, or every process of the task)
 *     Kill        s task, u attempt                        (cgroup.kill)
 *     Freeze      s task, u attempt
 *     Thaw        s task, u attempt
 *     SetDeadline s task, u attempt, t boottime_usec
 *     Step        s task, u attempt, u step, s act, i signal -> b again, t begun, t done
 *                 a step of the task's ladder, at most once for each number (0 to 31): sets its bit in the record, then acts. `act` is
 *                 "signal" (thaws first; every process), "freeze" or "kill"; `signal` counts for the first. `again`: the bit
 *                 was set before, and nothing was done now, but for a kill, which is done as often as it is asked. The
 *                 times, CLOCK_BOOTTIME usec, are those before and after the act. An error other than that of "freeze" or of the record says that the bit was not set
 *     Inspect     s task, u attempt -> a(usssuas)     (pid, state, comm, wchan, descriptors, paths of some of them): at most 64
 *                                          processes and 8 paths of each; the last three only of processes of the task's own user
 *     ReadUsage   a(su) -> a(sutttttt)     (task, attempt, user_usec, system_usec, rss_bytes, read_bytes,
 *                                           write_bytes, processes); tasks that are gone are left out
 *     Forget      a(su)                    removes records that have ended; unknown ones are ignored
 *     Describe    -> s backend, s pool, u controllers      what this host gives: the best backend, its cgroup pool ("" without
 *                                          one), the controllers that leaves have (1 << CgroupController)
 *
 *     Network     -> h map, u map_id       the map with the network counters of tasks, for reading only; Unavailable with
 *                                          the reason where traffic is not counted
 *
 * Errors are "io.reeve.Error.<Name>" of the error table. For ExecFailed the message is "<errno> <path>"; for
 * all others "<field>: <sentence>", or the sentence alone. A field has no space. */

#define LAUNCHER_INTERFACE "io.reeve.Launcher1"
#define LAUNCHER_OBJECT    "/io/reeve/Launcher1"

#include <stddef.h>
#include <stdint.h>

/* A ticket, as bytes on the wire; opaque to reeved. serial(16) expiry_realtime_usec(8) uid(4) attempts(4) mac(32) */
#define LAUNCHER_TICKET_SIZE 64

#define LAUNCHER_ERROR_PREFIX "io.reeve.Error."

/* How long an authorisation lasts: queued tasks and retries survive restarts. */
#define LAUNCHER_TICKET_LIFETIME_USEC (UINT64_C(7) * 24 * 3600 * 1000000)
