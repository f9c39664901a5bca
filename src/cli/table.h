/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tables of tasks, by libsmartcols: a constant table of columns, a row for each task. */

#include <libsmartcols/libsmartcols.h>

#include "cli/task-view.h"

#define TABLE_TEXT_SIZE 1100 /* a title and its NUL */

/* What a cell is filled from. */
typedef struct TableRow {
        TaskView task;
        usec_t now;         /* wall clock */
        double cpu_percent; /* of one CPU, negative: unknown */
} TableRow;

typedef struct TableColumn {
        const char *header;
        double width; /* as scols_table_new_column(): a fraction of the terminal below 1, 0: as needed */
        int flags;    /* SCOLS_FL_* */
        /* Writes the text into the buffer. Returns a colour name of libsmartcols, or NULL. */
        const char *(*fill)(const TableRow *row, char text[static TABLE_TEXT_SIZE]);
} TableColumn;

typedef struct Table {
        struct libscols_table *table;
        const TableColumn *columns;
        size_t n_columns;
} Table;

/* Begins a table for standard output; `width` 0: no terminal, nothing is cut. 0 or -ENOMEM. */
int table_init(Table *t, const TableColumn *columns, size_t n_columns, size_t width);
void table_done(Table *t);

/* Appends a task. 0 or -ENOMEM. */
int table_add(Table *t, const TableRow *row);

/* The whole table as text, each line ended (caller frees); "" without rows. NULL when memory is short. */
char *table_format(Table *t);

/* Columns that several tables have. */
const char *column_id(const TableRow *row, char text[static TABLE_TEXT_SIZE]);
const char *column_subsystem(const TableRow *row, char text[static TABLE_TEXT_SIZE]);
const char *column_type(const TableRow *row, char text[static TABLE_TEXT_SIZE]);
const char *column_status(const TableRow *row, char text[static TABLE_TEXT_SIZE]);
const char *column_title(const TableRow *row, char text[static TABLE_TEXT_SIZE]);
/* How long it ran or has been running; of a pending one, how long it has waited, in brackets. */
const char *column_time(const TableRow *row, char text[static TABLE_TEXT_SIZE]);
/* To the deadline; red when it is missed. */
const char *column_margin(const TableRow *row, char text[static TABLE_TEXT_SIZE]);
const char *column_cpu(const TableRow *row, char text[static TABLE_TEXT_SIZE]);
/* Memory now while it runs, the peak when it has ended. */
const char *column_memory(const TableRow *row, char text[static TABLE_TEXT_SIZE]);
