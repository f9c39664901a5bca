/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libsmartcols knows about widths of characters, cutting, and terminals; this file only tells it what to show. Text
 * that came from a task's author (its title) may not send escape sequences to somebody else's terminal: libsmartcols
 * replaces control characters by \x1b and the like.
 *
 * Without a terminal nothing is cut and there is no colour: the table is then read by a program, or by somebody with
 * a wider window. */

#include "cli/table.h"

#include <errno.h>
#include <stdio.h>

#include "basic/strings.h"
#include "cli/command-line.h"
#include "cli/terminal.h"

int table_init(Table *t, const TableColumn *columns, size_t n_columns, size_t width)
{
        assert(t);
        assert(columns);

        scols_init_debug(0);
        *t = (Table){ .table = scols_new_table(), .columns = columns, .n_columns = n_columns };
        if (!t->table)
                return -ENOMEM;
        scols_table_enable_colors(t->table, terminal_has_colors());
        scols_table_set_termforce(t->table, width > 0 ? SCOLS_TERMFORCE_ALWAYS : SCOLS_TERMFORCE_NEVER);
        if (width > 0)
                scols_table_set_termwidth(t->table, width);

        for (size_t i = 0; i < n_columns; i++)
                if (!scols_table_new_column(t->table, columns[i].header, columns[i].width,
                                            columns[i].flags)) {
                        table_done(t);
                        return -ENOMEM;
                }
        return 0;
}

void table_done(Table *t)
{
        assert(t);

        scols_unref_table(t->table);
        t->table = NULL;
}

int table_add(Table *t, const TableRow *row)
{
        char text[TABLE_TEXT_SIZE];

        assert(t);
        assert(row);

        struct libscols_line *line = scols_table_new_line(t->table, NULL);
        if (!line)
                return -ENOMEM;
        for (size_t i = 0; i < t->n_columns; i++) {
                text[0] = '\0';
                const char *color = t->columns[i].fill(row, text);
                if (scols_line_set_data(line, i, text) < 0)
                        return -ENOMEM;
                if (color)
                        (void)scols_cell_set_color(scols_line_get_cell(line, i), color);
        }
        return 0;
}

char *table_format(Table *t)
{
        _cleanup_free_ char *text = NULL;

        assert(t);

        if (scols_table_is_empty(t->table))
                return strdup("");
        if (scols_print_table_to_string(t->table, &text) < 0)
                return NULL;
        return string_printf("%s\n", text); /* the library ends lines between rows only */
}

static void copy(char text[static TABLE_TEXT_SIZE], const char *from)
{
        snprintf(text, TABLE_TEXT_SIZE, "%s", *from ? from : "-");
}

const char *column_id(const TableRow *row, char text[static TABLE_TEXT_SIZE])
{
        copy(text, row->task.id);
        return NULL;
}

const char *column_subsystem(const TableRow *row, char text[static TABLE_TEXT_SIZE])
{
        copy(text, row->task.subsystem);
        return NULL;
}

const char *column_type(const TableRow *row, char text[static TABLE_TEXT_SIZE])
{
        copy(text, row->task.type);
        return NULL;
}

const char *column_status(const TableRow *row, char text[static TABLE_TEXT_SIZE])
{
        static const struct {
                const char *status, *color;
        } colors[] = {
                { "pending", "yellow" }, { "active", "green" }, { "verifying", "green" },
                { "failed", "red" },     { "lost", "red" },
        };

        if (*row->task.pending_reason)
                snprintf(text, TABLE_TEXT_SIZE, "%s (%s)", row->task.status, row->task.pending_reason);
        else
                copy(text, row->task.frozen ? "frozen" : row->task.status);
        for (size_t i = 0; i < ELEMENTSOF(colors); i++)
                if (streq(colors[i].status, row->task.status))
                        return colors[i].color;
        return NULL;
}

const char *column_title(const TableRow *row, char text[static TABLE_TEXT_SIZE])
{
        _cleanup_free_ char *title = task_title_text(&row->task);
        copy(text, title ?: "");
        utf8_repair(text); /* the cut may have gone through a character */
        return NULL;
}

const char *column_time(const TableRow *row, char text[static TABLE_TEXT_SIZE])
{
        char span[32];

        if (row->task.started_at == 0 && row->task.duration_seconds < 0 && !task_view_has_ended(&row->task))
                snprintf(text, TABLE_TEXT_SIZE, "(%s)",
                         usec_format_span(usec_sub(row->now, row->task.created_at), span, sizeof(span)));
        else
                usec_format_span(task_view_elapsed(&row->task, row->now), text, TABLE_TEXT_SIZE);
        return NULL;
}

const char *column_margin(const TableRow *row, char text[static TABLE_TEXT_SIZE])
{
        static_assert(TABLE_TEXT_SIZE >= MARGIN_TEXT_SIZE, "it fits");
        task_view_margin_text(&row->task, text);
        return row->task.has_margin && row->task.margin_seconds < 0 ? "red" : NULL;
}

const char *column_cpu(const TableRow *row, char text[static TABLE_TEXT_SIZE])
{
        usage_text(&row->task.usage, USAGE_CPU, text);
        return NULL;
}

const char *column_memory(const TableRow *row, char text[static TABLE_TEXT_SIZE])
{
        bool now = !task_view_has_ended(&row->task) && usage_has(&row->task.usage, USAGE_MEMORY_CURRENT);

        usage_text(&row->task.usage, now ? USAGE_MEMORY_CURRENT : USAGE_MEMORY_PEAK, text);
        return NULL;
}
