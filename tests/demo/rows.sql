-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Work for a database: fill, index, ask.
CREATE TABLE row (id INTEGER PRIMARY KEY, key TEXT, value INTEGER) STRICT;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
    INSERT INTO row SELECT i, hex(randomblob(8)), i * 7919 % 1000 FROM n;
CREATE INDEX row_value ON row (value);
SELECT value, count(*), min(key) FROM row GROUP BY value ORDER BY 2 DESC, 1 LIMIT 5;
