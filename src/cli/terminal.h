/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the terminal can do, colours, and the pager. */

#include <stdbool.h>
#include <stddef.h>

#define COLOR_RESET  "\033[0m"
#define COLOR_BOLD   "\033[0;1m"
#define COLOR_RED    "\033[0;1;31m"
#define COLOR_GREEN  "\033[0;32m"
#define COLOR_YELLOW "\033[0;33m"
#define COLOR_GREY   "\033[0;90m"

/* Is standard output a terminal that people look at (or a pager on one)? Decided once, before a pager is opened. */
bool terminal_is_interactive(void);

/* Interactive, TERM is not "dumb", and NO_COLOR is not set to anything. */
bool terminal_has_colors(void);

/* Columns of standard output's terminal, 0 if it is none. */
size_t terminal_columns(void);
size_t terminal_rows(void);

/* `color` if there are colours, else "". */
const char *terminal_color(const char *color);

/* The colour of a task's status; "" for those without. */
const char *terminal_status_color(const char *status);

/* Sends standard output through $PAGER (default: less -FRSXMK) when it is a terminal. `use` false, or a PAGER that is
 * empty or "cat", does nothing. If there is no pager, output goes to the terminal as it is. */
void pager_open(bool use);

/* Ends the output and waits for the pager. Does nothing if there is none. */
void pager_close(void);
