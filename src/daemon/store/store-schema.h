/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a database file must be before it is used: sound, ours, and of a version that we know. */

#include "daemon/store/store-db.h"

/* The texts of src/api/sql, in order: number n (from 0) takes user_version n to n + 1. Generated at build time. */
extern const char *const store_migrations[];
extern const unsigned store_n_migrations;

/* Looks at an existing file without changing it: SQLite's header, quick_check (for at most a second, so a large database
 * does not delay the start), our application id, a version that is not newer than ours. An empty or absent file is
 * fine. The text of a refusal names `reeve doctor` and the newest backup in backup_dir (may be NULL). -EBADMSG: damaged
 * or not ours; -EPROTONOSUPPORT: newer. */
int store_schema_check(const char *path, const char *backup_dir, ReeveError *reterr);

/* Brings the database up to our version, each migration in one transaction. */
int store_schema_migrate(StoreDb *db, const char *path, ReeveError *reterr);
