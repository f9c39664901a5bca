/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The texts.
 *
 * Everything that the store says to SQLite after the migrations is here; there is no SQL made at run time.
 *
 * INDEXED BY is used where a list must have its index: if a later migration drops it, the statement fails in the tests
 * rather than scanning ten million rows in production. "Next" and "walk" statements are explained in store-list.c. */

#include "daemon/store/store-sql.h"

#include "basic/macro.h"

#define COMMA_NAME(ENUM, name)                    ", " name
#define COMMA_MARK(ENUM, name)                    ", ?"
#define COMMA_SET(ENUM, name)                     ", " name " = ?"
#define COMMA_EXCLUDED(ENUM, name)                ", " name " = excluded." name
#define COMMA_USAGE_NAME(ENUM, name, k, t, x)     ", " name
#define COMMA_USAGE_MARK(ENUM, name, k, t, x)     ", ?"
#define COMMA_USAGE_SET(ENUM, name, k, t, x)      ", " name " = ?"
#define COMMA_USAGE_EXCLUDED(ENUM, name, k, t, x) ", " name " = excluded." name
#define COMMA_USAGE_PREFIXED(ENUM, name, k, t, x) ", t." name
#define COMMA_PREFIXED(ENUM, name)                ", t." name

#define USAGE_NAMES USAGE_FIELDS(COMMA_USAGE_NAME)
#define USAGE_MARKS USAGE_FIELDS(COMMA_USAGE_MARK)

#define TASK_NAMES \
        "seq" TASK_FIXED_COLUMNS(COMMA_NAME) ", usage_sources" TASK_MUTABLE_COLUMNS(COMMA_NAME) USAGE_NAMES
#define TASK_MARKS "NULL" TASK_FIXED_COLUMNS(COMMA_MARK) ", ?" TASK_MUTABLE_COLUMNS(COMMA_MARK) USAGE_MARKS
#define TASK_NAMES_PREFIXED                                                                                 \
        "t.seq" TASK_FIXED_COLUMNS(COMMA_PREFIXED) ", t.usage_sources" TASK_MUTABLE_COLUMNS(COMMA_PREFIXED) \
                        USAGE_FIELDS(COMMA_USAGE_PREFIXED)

#define EVENT_NAMES "number, timestamp, topic, task_id, subsystem, detail"
#define LOG_NAMES   "entry, number, timestamp, action, task_id, subsystem, detail"

static const char *const texts[_STORE_STATEMENT_MAX] = {
        [STORE_SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
        [STORE_SQL_BEGIN_READ] = "BEGIN",
        [STORE_SQL_COMMIT] = "COMMIT",
        [STORE_SQL_ROLLBACK] = "ROLLBACK",
        [STORE_SQL_SAVEPOINT] = "SAVEPOINT one",
        [STORE_SQL_RELEASE] = "RELEASE one",
        [STORE_SQL_ROLLBACK_TO] = "ROLLBACK TO one",

        [STORE_SQL_INSERT_TASK] = "INSERT INTO task_registry (" TASK_NAMES ") VALUES (" TASK_MARKS ")",
        [STORE_SQL_UPDATE_TASK] = "UPDATE task_registry SET usage_sources = ?" TASK_MUTABLE_COLUMNS(
                        COMMA_SET) USAGE_FIELDS(COMMA_USAGE_SET) " WHERE task_id = ?",
        [STORE_SQL_PUT_SPEC] = "INSERT INTO task_specs (task_id, spec, ticket) VALUES (?, ?, ?)",
        [STORE_SQL_ERASE_SPEC] = "DELETE FROM task_specs WHERE task_id = ?",
        [STORE_SQL_PUT_POLICY] =
                        "INSERT INTO task_policies (hash, policy) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [STORE_SQL_PUT_ATTEMPT] =
                        "INSERT INTO task_attempts (task_id, attempt, usage_sources" ATTEMPT_COLUMNS(
                                        COMMA_NAME) USAGE_NAMES
        ") VALUES (?, ?, ?" ATTEMPT_COLUMNS(COMMA_MARK) USAGE_MARKS
        ") ON CONFLICT (task_id, attempt) DO UPDATE SET usage_sources = "
        "excluded.usage_sources" ATTEMPT_COLUMNS(COMMA_EXCLUDED) USAGE_FIELDS(COMMA_USAGE_EXCLUDED),
        [STORE_SQL_INSERT_SNAPSHOT] =
                        "INSERT INTO task_resource_snapshots (task_id, attempt, taken_at, "
                        "elapsed_usec, usage_sources" USAGE_NAMES ") VALUES (?, ?, ?, ?, ?" USAGE_MARKS ")",
        [STORE_SQL_INSERT_EVENT] = "INSERT INTO task_events (" EVENT_NAMES ") VALUES (NULL, ?, ?, ?, ?, ?)",
        /* A check whose result was stored is not run again; if it was all the same, the first result stays. */
        [STORE_SQL_PUT_VERIFICATION] =
                        "INSERT INTO task_verifications (task_id, attempt, rule, name, kind, passed, "
                        "evidence, ended_at, "
                        "duration_usec, usage, cpu_usec) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON "
                        "CONFLICT DO NOTHING",

        [STORE_SQL_PUT_METRIC] = "INSERT INTO task_metric_series (task_id, step, name, value) "
                                 "VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",

        [STORE_SQL_INSERT_LOG_ENTRY] =
                        "INSERT INTO immutable_log (" LOG_NAMES ") VALUES (?, ?, ?, ?, ?, ?, ?)",
        [STORE_SQL_PUT_LOG_TILE] =
                        "INSERT INTO log_tiles (level, tile, hashes) VALUES (?, ?, ?) "
                        "ON CONFLICT DO UPDATE SET hashes = CAST(hashes || excluded.hashes AS BLOB)",
        [STORE_SQL_INSERT_LOG_CHECKPOINT] =
                        "INSERT INTO log_checkpoints (entries, timestamp, note) VALUES (?, ?, ?)",
        [STORE_SQL_LOG_SIZE] = "SELECT coalesce(max(entry) + 1, 0) FROM immutable_log",
        [STORE_SQL_LOG_CHECKPOINTED] = "SELECT coalesce(max(entries), 0) FROM log_checkpoints",

        [STORE_SQL_TASK_BY_ID] = "SELECT " TASK_NAMES " FROM task_registry WHERE task_id = ?",
        [STORE_SQL_POLICY_OF_TASK] = "SELECT p.hash, p.policy FROM task_registry AS t "
                                     "LEFT JOIN task_policies AS p ON p.hash = t.policy_hash "
                                     "WHERE t.task_id = ?",
        [STORE_SQL_TASK_BY_SEQ] = "SELECT " TASK_NAMES " FROM task_registry WHERE seq = ?",
        [STORE_SQL_WALK_ALL] = "SELECT " TASK_NAMES " FROM task_registry WHERE seq < ?1 AND seq >= ?2 "
                               "ORDER BY seq DESC",
        [STORE_SQL_WALK_CREATOR] =
                        "SELECT " TASK_NAMES " FROM task_registry INDEXED BY task_registry_creator "
                        "WHERE created_by = ?3 AND seq < ?1 AND seq >= ?2 ORDER BY seq DESC",
        [STORE_SQL_NEXT_OF_GROUP] =
                        "SELECT seq FROM task_registry INDEXED BY task_registry_group "
                        "WHERE subsystem = ?3 AND task_type = ?4 AND owner_uid = ?5 AND status = ?6 "
                        "AND seq < ?1 AND seq >= ?2 ORDER BY seq DESC LIMIT 1",
        [STORE_SQL_COUNTS] = "SELECT subsystem, task_type, owner_uid, status, tasks FROM task_counts "
                             "WHERE tasks > 0 ORDER BY subsystem",
        [STORE_SQL_SPANS] = "SELECT block FROM task_spans WHERE block <= ?1 AND last_created >= ?2 "
                            "AND first_created < ?3 ORDER BY block DESC",
        [STORE_SQL_SNAPSHOTS] = "SELECT task_id, attempt, taken_at, elapsed_usec, usage_sources" USAGE_NAMES
                                " FROM task_resource_snapshots INDEXED BY task_resource_snapshots_task "
                                "WHERE task_id = ? ORDER BY number DESC LIMIT ?",
        [STORE_SQL_EVENTS] =
                        "SELECT " EVENT_NAMES " FROM task_events WHERE number > ?1 ORDER BY number LIMIT ?2",
        [STORE_SQL_EVENTS_OF_TASK] = "SELECT " EVENT_NAMES " FROM task_events INDEXED BY task_events_task "
                                     "WHERE task_id = ?3 AND number > ?1 ORDER BY number LIMIT ?2",
        [STORE_SQL_EVENTS_OF_SUBSYSTEM] =
                        "SELECT " EVENT_NAMES " FROM task_events INDEXED BY task_events_subsystem "
                        "WHERE subsystem = ?3 AND number > ?1 ORDER BY number LIMIT ?2",
        [STORE_SQL_VERIFICATIONS] = "SELECT task_id, attempt, rule, name, kind, passed, evidence, ended_at, "
                                    "duration_usec, usage, cpu_usec "
                                    "FROM task_verifications WHERE task_id = ? ORDER BY attempt, rule",
        [STORE_SQL_SPEC] = "SELECT spec, ticket FROM task_specs WHERE task_id = ?",
        [STORE_SQL_DURATION_OWNERS] = "SELECT owner_uid FROM task_counts WHERE subsystem = ?1 "
                                      "AND task_type = ?2 AND status = 'completed' AND tasks > 0 LIMIT ?3",
        [STORE_SQL_DURATIONS] =
                        "SELECT seq, duration_seconds FROM task_registry INDEXED BY task_registry_group "
                        "WHERE subsystem = ?1 AND task_type = ?2 AND owner_uid = ?3 AND status = "
                        "'completed' "
                        "AND duration_seconds IS NOT NULL ORDER BY seq DESC LIMIT ?4",
        /* From the counters to the few tasks that are open; the cross join keeps that order. */
        [STORE_SQL_OPEN_TASKS] =
                        "SELECT " TASK_NAMES_PREFIXED ", s.spec, s.ticket, p.policy FROM task_counts AS c "
                        "CROSS JOIN task_registry AS t INDEXED BY task_registry_group "
                        "ON t.subsystem = c.subsystem AND t.task_type = c.task_type "
                        "AND t.owner_uid = c.owner_uid AND t.status = c.status "
                        "LEFT JOIN task_specs AS s ON s.task_id = t.task_id "
                        "LEFT JOIN task_policies AS p ON p.hash = t.policy_hash "
                        "WHERE c.status IN ('pending', 'active', 'verifying') AND c.tasks > 0 "
                        "ORDER BY t.seq",
        [STORE_SQL_LAST_EVENT] = "SELECT seq FROM sqlite_sequence WHERE name = 'task_events'",
        [STORE_SQL_LOG_ENTRIES] =
                        "SELECT " LOG_NAMES " FROM immutable_log WHERE entry >= ? ORDER BY entry LIMIT ?",
        [STORE_SQL_LOG_NEWEST] = "SELECT " LOG_NAMES " FROM immutable_log WHERE entry < ?1 AND entry >= ?2 "
                                 "AND (?4 IS NULL OR action GLOB ?4) ORDER BY entry DESC LIMIT ?3",
        [STORE_SQL_LOG_OF_TASK] = "SELECT " LOG_NAMES " FROM immutable_log INDEXED BY immutable_log_task "
                                  "WHERE task_id = ?5 AND entry < ?1 AND entry >= ?2 "
                                  "AND (?4 IS NULL OR action GLOB ?4) ORDER BY entry DESC LIMIT ?3",
        [STORE_SQL_LOG_TILE] = "SELECT hashes FROM log_tiles WHERE level = ? AND tile = ?",
        [STORE_SQL_LAST_LOG_CHECKPOINT] =
                        "SELECT entries, note FROM log_checkpoints ORDER BY entries DESC LIMIT 1",
        [STORE_SQL_LOG_CHECKPOINT_OF] = "SELECT entries, note FROM log_checkpoints WHERE entries >= ? "
                                        "ORDER BY entries LIMIT 1",
        [STORE_SQL_DATABASE_BYTES] =
                        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
};

const char *store_sql(StoreStatement s)
{
        assert((unsigned)s < _STORE_STATEMENT_MAX);
        return texts[s];
}
