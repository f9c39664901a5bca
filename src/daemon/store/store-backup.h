/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Online copies of the database, made by the writer between its batches. */

#include "daemon/store/store-internal.h"

#define STORE_BACKUP_NAME_SIZE sizeof("registry-YYYY-MM-DDTHHMMSS.db")
#define STORE_BACKUPS_KEPT     3

typedef struct StoreBackup StoreBackup;

/* A periodic one gets the day's name in the backup folder, replaces that day's, and removes all but the newest three. One
 * that is not, and has no path, has no name at all. NULL when memory is short. */
StoreBackup *store_backup_new(Store *s, const char *path, bool periodic, store_backup_t callback,
                              void *userdata);
StoreJob *store_backup_job(StoreBackup *b);
StoreBackup *store_backup_of(StoreJob *job);

/* Copies a few pages (the first step opens the file, the last one syncs and renames it). 1: there is more to do; 0: done
 * or failed, see the job's result. Writer thread. */
int store_backup_step(StoreBackup *b, StoreDb *db);

/* Gives up what is not finished and removes the part. Writer thread. */
void store_backup_abort(StoreBackup *b);

/* The newest daily copy in a folder, with its time of change (wall clock): 1 found, 0 none, negative errno. */
int store_backup_newest(const char *dir, char ret_name[static STORE_BACKUP_NAME_SIZE], usec_t *ret_mtime);

/* The same among the daily ones and those that were asked for without a path. */
int store_backup_newest_of_all(const char *dir, char ret_name[static STORE_BACKUP_NAME_SIZE]);
